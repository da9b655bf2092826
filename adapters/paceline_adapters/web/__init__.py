"""An HTTP API, live progress and a page, to serve or to mount in your own application.

``Backend`` opens paceline's parts. ``create_app`` makes a whole application of it, ``router`` only
the routes. All three are imported on first use, because ``paceline serve`` is a plugin in this
package.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paceline_adapters.web.app import create_app, router
    from paceline_adapters.web.backend import Backend

__all__ = ["Backend", "create_app", "router"]


def __getattr__(name: str) -> object:
    if name == "Backend":
        from paceline_adapters.web import backend

        return backend.Backend
    if name in __all__:
        from paceline_adapters.web import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
