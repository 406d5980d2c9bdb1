#!/bin/sh
# Moves one slot of a Redis Cluster, with its keys, while clients use them:
#
#   sh move-slot.sh SLOT FROM_HOST FROM_PORT TO_HOST TO_PORT
#
# redis-cli takes the password of the default user from REDISCLI_AUTH.
set -euf  # -f: names of channels may have a "?"
slot=$1 from_host=$2 from_port=$3 to_host=$4 to_port=$5
from() { redis-cli -h "$from_host" -p "$from_port" "$@"; }
to() { redis-cli -h "$to_host" -p "$to_port" "$@"; }

source=$(from CLUSTER MYID)
target=$(to CLUSTER MYID)
to CLUSTER SETSLOT "$slot" IMPORTING "$source"
from CLUSTER SETSLOT "$slot" MIGRATING "$target"
while keys=$(from CLUSTER GETKEYSINSLOT "$slot" 100) && [ -n "$keys" ]; do
    from MIGRATE "$to_host" "$to_port" "" 0 5000 ${REDISCLI_AUTH:+AUTH "$REDISCLI_AUTH"} KEYS $keys
done
to CLUSTER SETSLOT "$slot" NODE "$target"
from CLUSTER SETSLOT "$slot" NODE "$target"
redis-cli --cluster check "$to_host:$to_port"
