"""An HTTP API, live progress and a page, to serve or to mount into an application of yours.

``Backend`` opens paceline's parts; ``create_app`` makes a whole application of it, ``router`` the
routes alone.
"""

from paceline_adapters.web.app import create_app, router
from paceline_adapters.web.backend import Backend

__all__ = ["Backend", "create_app", "router"]
