"""Which consumer gets the messages of which channel."""

from examples.consumers import make_thumbnail, send_mail, write_audit_log
from workers import route

channel_routing = [
    route("thumbnails", make_thumbnail),
    route("mail", send_mail),
    route("audit", write_audit_log),
]
