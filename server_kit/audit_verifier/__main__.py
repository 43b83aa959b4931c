"""The command line of the verifier. Exit status: 0 intact, 1 not intact, 2 wrong use."""

import sys

from server_kit.audit_verifier.command import main

if __name__ == "__main__":
    sys.exit(main())
