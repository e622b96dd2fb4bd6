"""The probe's modules as one source, which gives each its own name in the process that runs it."""

from importlib import resources

# Each may import those before it.
MODULES = (
    "channel",
    "reach",
    "confine",
    "drivers",
    "redirect",
    "loading",
    "facts",
    "state",
    "effects",
    "watching",
    "recorder",
    "unapply",
    "forward",
    "main",
)
_PACKAGE = f"{__package__}.probe"
_LOADER = """\
def load(name, source):
    import sys, types
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)

"""


def probe() -> str:
    """The source of the probe; behind it, `main` is defined."""
    folder = resources.files(_PACKAGE)
    loaded = (f"load({f'{_PACKAGE}.{name}'!r}, {folder.joinpath(f'{name}.py').read_text()!r})\n" for name in MODULES)
    return _LOADER + "".join(loaded) + f"from {_PACKAGE}.main import main\n"
