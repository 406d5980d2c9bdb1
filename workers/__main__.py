"""``runworker``, which is also ``python -m workers``."""

from __future__ import annotations

import sys

from workers.command import patching


def main() -> int:
    """Run the command, with gevent's patches for its pool; return the exit code."""
    if patching.is_wanted(sys.argv[1:]):
        try:
            patching.patch()
        except ImportError:
            sys.stderr.write(f"runworker: error: {patching.MISSING}\n")
            return 1
    from workers.command import cli  # only now

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
