"""All routes of administration in one table."""

from msgspec import Struct

from inferway.access.administration import Administration
from inferway.access.directory import Directory
from inferway.access.sessions import Sessions
from inferway.access.vault import Vault
from inferway.http.admin.calls import CallRoutes
from inferway.http.admin.credentials import CredentialRoutes, FindCircuits
from inferway.http.admin.endpoint import Endpoint
from inferway.http.admin.health import HealthRoutes, Probe
from inferway.http.admin.keys import KeyRoutes
from inferway.http.admin.lending import FindHost, Lending
from inferway.http.admin.models import ModelRoutes, Providers
from inferway.http.admin.namespaces import NamespaceRoutes
from inferway.http.admin.organization import OrganizationRoutes
from inferway.http.admin.requests import RequestRoutes
from inferway.http.admin.secrets import SecretRoutes
from inferway.http.admin.spend import CountsSpend, SpendRoutes
from inferway.http.admin.usage import UsageRoutes
from inferway.http.admin.users import UserRoutes
from inferway.pipeline.checking import CredentialChecks
from inferway.pipeline.recall import Recall
from inferway.usage.ledger import Ledger


class AdminParts(Struct, frozen=True, kw_only=True):
    """What the routes work with. `per_minute` is the rate of a key that has none of its own; 0 is none."""

    directory: Directory
    ledger: Ledger
    administration: Administration
    sessions: Sessions
    vault: Vault
    checks: CredentialChecks
    circuits: FindCircuits
    spending: CountsSpend
    recall: Recall
    find_host: FindHost
    providers: Providers
    probes: dict[str, Probe]
    per_minute: int


def endpoints_of(parts: AdminParts) -> tuple[Endpoint, ...]:
    """Every route of administration, with the permission it needs and the scope it falls under."""
    directory, administration = parts.directory, parts.administration
    lending = Lending(parts.vault, parts.find_host)
    return (
        *HealthRoutes(parts.probes).endpoints(),
        *KeyRoutes(directory, administration, parts.per_minute).endpoints(),
        *UserRoutes(directory, administration, parts.sessions).endpoints(),
        *OrganizationRoutes(directory, administration, lending, parts.per_minute).endpoints(),
        *SecretRoutes(parts.vault).endpoints(),
        *CredentialRoutes(parts.vault, parts.providers, parts.checks, parts.circuits).endpoints(),
        *SpendRoutes(directory, parts.ledger, parts.spending).endpoints(),
        *NamespaceRoutes(directory, administration, lending, parts.recall).endpoints(),
        *CallRoutes(directory, parts.ledger, parts.recall).endpoints(),
        *ModelRoutes(parts.providers).endpoints(),
        *UsageRoutes(directory, parts.ledger).endpoints(),
        *RequestRoutes(directory, parts.ledger).endpoints(),
    )
