"""A doctor for Kubernetes Services: why does this Service not answer?

For programs, `from svcdoctor import diagnose` is all of it; see svcdoctor/api.py.
"""

__version__ = "0.1.0"
__all__ = ["Diagnosis", "Finding", "KubeError", "Status", "__version__", "diagnose"]

# Type checkers take this name for true. typing's own would have to be imported, and `--version` waits for nothing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from svcdoctor.api import Diagnosis, Finding, KubeError, Status, diagnose


def __getattr__(name: str) -> object:
    """What `__all__` promises, loaded when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from svcdoctor import api

    return getattr(api, name)
