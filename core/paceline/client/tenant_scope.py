"""The runs that a client sees: those of one tenant, or of all tenants."""

from dataclasses import dataclass, replace

from paceline.contracts.share import DEFAULT_TENANT, Share, check_tenant, stored_names
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.rules import run_not_found_error
from paceline.errors import UsageError


@dataclass(frozen=True, slots=True)
class TenantScope:
    """One tenant, or all tenants.

    Attributes:
        tenant: name of the tenant; ``None`` for all tenants.

    Raises:
        UsageError: the name is not allowed.
    """

    tenant: str | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        if self.tenant is not None:
            check_tenant(self.tenant)

    @property
    def names(self) -> tuple[str, ...]:
        """The tenant, as stores name it; empty for all tenants."""
        return stored_names(self.tenant)

    def check(self, run: Run) -> Run:
        """Return a run of the scope.

        Raises:
            RunNotFound: the run belongs to another tenant. The error is the same as for a run
                that does not exist.
        """
        if self.tenant is not None and run.share.tenant not in self.names:
            raise run_not_found_error(run.run_id)
        return run

    def share(self, share: Share) -> Share:
        """The share of a run that is submitted with ``share``.

        Raises:
            UsageError: ``share`` names another tenant.
        """
        if self.tenant is None:
            return share
        if share.tenant and share.tenant not in self.names:
            raise UsageError(
                f"share.tenant must be empty or {self.tenant!r} in a client of that tenant, got "
                f"{share.tenant!r}"
            )
        return replace(share, tenant=self.names[0])


def key_of_tenant(key: str, tenant: str) -> str:
    """The key of a submission as stores know it, so that each tenant has keys of its own."""
    # The tenant's part has no space, so no other tenant and key give the same text.
    name = (tenant or DEFAULT_TENANT).replace("%", "%25").replace(" ", "%20")
    return f"{name} {key}"
