"""``python -m hesscore`` is the command ``hesscore``."""

import sys

from .cli import main

sys.exit(main())
