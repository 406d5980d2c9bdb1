"""A store in the memory of one machine, for all processes of one user: LMDB, and datagrams that wake receivers."""
