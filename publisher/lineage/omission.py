"""Whose word decides that secrets are not taken out: the user's alone.

`[registration.omit]` of a project may add patterns, values and exceptions of single values (`exceptions`).  A project
may have come with a clone, so that it switches redaction off, or excepts everything, counts only with the user's own
configuration (`$XDG_CONFIG_HOME/roar/config.toml`) or `--no-redact`.
"""

from dataclasses import dataclass

from roar_publisher.lineage.linear import PatternProblem, compiled

# Secrets of different alphabets: what excepts all of them excepts everything.
_PROBES = ("QWERTY7UIOP4ASDF", "hunter22", "0123456789abcdef0123456789abcdef01234567", "Zm9v/YmFy+YmF6==7")

_SHOWN = 60
"""Characters of a pattern that a note shows."""


@dataclass(frozen=True, slots=True)
class CustomShape:
    """A secret's shape as the configuration describes it: `[[registration.omit.patterns]]`."""

    id: str
    pattern: str
    replacement: str = "[REDACTED]"


DEFAULT_SECRET_VARIABLES = (
    "WANDB_API_KEY",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GITHUB_TOKEN",
    "DATABASE_URL",
    "AWS_SECRET_ACCESS_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)


@dataclass(frozen=True, slots=True)
class OmitConfig:
    """`[registration.omit]`: what is redacted beyond the built-in shapes (`protocol.md §8`).

    allowlist: the project's exceptions, which count for single values only.  own_allowlist: the user's, which count
    whatever they except.  ignored: what the project asked for and does not get, as texts for a person.
    """

    enabled: bool = True
    values: tuple[str, ...] = ()
    variables: tuple[str, ...] = DEFAULT_SECRET_VARIABLES
    patterns: tuple[CustomShape, ...] = ()
    allowlist: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    own_allowlist: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """What a person must know of it before anything leaves."""
        if not self.enabled:
            return ["redaction is off, as you asked: secrets are published as they stand"]
        everything = [pattern for pattern in self.own_allowlist if _allows_everything(pattern)]
        return [
            f"your own config.toml excepts everything from redaction ({pattern!r}): secrets are published as they stand"
            for pattern in everything
        ] + [
            f"{what} is not followed: to publish without redaction say --no-redact, or say so in your own config.toml"
            for what in self.ignored
        ]


def effective(project: OmitConfig, user: OmitConfig | None) -> OmitConfig:
    """The project's configuration as far as it counts.  user: what the user's own file says, None if nothing.

    Both add values, variables and patterns; neither takes any of the other's, or of ours, away.
    """
    user = user or OmitConfig()
    own = tuple(pattern for pattern in user.allowlist if pattern)
    everything = [pattern for pattern in project.allowlist if pattern not in own and _allows_everything(pattern)]
    ignored = [f"allowlist pattern {_shown(pattern)} of the project's [registration.omit]" for pattern in everything]
    if not project.enabled:
        ignored.insert(0, "enabled = false of the project's [registration.omit]")
    return OmitConfig(
        enabled=user.enabled,
        values=_together(project.values, user.values),
        variables=_together(DEFAULT_SECRET_VARIABLES, project.variables, user.variables),
        patterns=(*project.patterns, *(shape for shape in user.patterns if shape not in project.patterns)),
        allowlist=tuple(pattern for pattern in project.allowlist if pattern not in (*everything, *own)),
        ignored=tuple(ignored) if user.enabled else (),
        own_allowlist=own,
    )


def _together(*lists: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for names in lists for one in names))


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= _SHOWN else pattern[:_SHOWN] + "…")


def _allows_everything(pattern: str) -> bool:
    if not pattern:
        return False
    try:
        expression = compiled(pattern)
    except PatternProblem:
        return False  # the redactor names it
    return all(expression.search(probe) for probe in _PROBES)
