"""The things that paths name."""

from inferway.access.directory import Directory
from inferway.access.records import Namespace
from inferway.errors import NotFound
from inferway.http.admin.endpoint import Visit


async def require_namespace(directory: Directory, visit: Visit) -> Namespace:
    """The namespace of the path; `NotFound` for one of another organization, and for one out of scope."""
    reference = visit.place("namespace")
    found = await directory.find_namespace(visit.organization_id, reference)
    if found is None or not visit.may_see("namespace", found.namespace_id, found.name):
        details = {"resource": "namespace", "id": reference[:128]}
        message = "There is no such namespace in this organization."
        raise NotFound(message, code="namespace_not_found", details=details)
    return found
