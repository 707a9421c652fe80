"""The configuration of redaction. Only the user may switch it off.

`[registration.omit]` of a project may add patterns, values and exceptions for single values (`allowlist`). A project
may have come with a clone, so its requests to switch redaction off, or to except everything, are ignored. Only the
user's own configuration (`$XDG_CONFIG_HOME/roar/config.toml`) or `--no-redact` can do that.
"""

from msgspec import Struct

from roar_publisher.lineage.redaction.patterns import CustomShape, PatternProblem, compile_pattern

# Secrets of different alphabets: a pattern that excepts all of them excepts everything.
_SAMPLE_SECRETS = ("QWERTY7UIOP4ASDF", "hunter22", "0123456789abcdef0123456789abcdef01234567", "Zm9v/YmFy+YmF6==7")

_SHOWN_CHARACTERS = 60
"""The most characters of a pattern that a note shows."""


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


class OmitConfig(Struct, frozen=True):
    """`[registration.omit]`: what is redacted beyond the built-in shapes (`protocol.md §8`).

    allowlist: the project's exceptions, which apply only to single values.
    user_allowlist: the user's exceptions, which always apply.
    ignored: requests of the project that are not followed, as texts for the user.
    """

    enabled: bool = True
    values: tuple[str, ...] = ()
    variables: tuple[str, ...] = DEFAULT_SECRET_VARIABLES
    patterns: tuple[CustomShape, ...] = ()
    allowlist: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    user_allowlist: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """Return what the user must know about redaction before anything is sent."""
        if not self.enabled:
            return ["redaction is off, as you asked: secrets are published unredacted"]
        everything = [pattern for pattern in self.user_allowlist if _allows_everything(pattern)]
        return [
            f"your own config.toml excepts everything from redaction ({pattern!r}): secrets are published unredacted"
            for pattern in everything
        ] + [
            f"{what} is ignored: to publish without redaction, use --no-redact or your own config.toml"
            for what in self.ignored
        ]


def merge_settings(project: OmitConfig, user: OmitConfig | None) -> OmitConfig:
    """Return the project's configuration as far as it applies, merged with the user's.

    user: the user's own configuration, None if there is none.

    Both add values, variables and patterns; neither removes the other's or the built-in ones.
    """
    user = user or OmitConfig()
    own = tuple(pattern for pattern in user.allowlist if pattern)
    everything = [pattern for pattern in project.allowlist if pattern not in own and _allows_everything(pattern)]
    ignored = [f"allowlist pattern {_shown(pattern)} of the project's [registration.omit]" for pattern in everything]
    if not project.enabled:
        ignored.insert(0, "enabled = false of the project's [registration.omit]")
    return OmitConfig(
        enabled=user.enabled,
        values=_merged(project.values, user.values),
        variables=_merged(DEFAULT_SECRET_VARIABLES, project.variables, user.variables),
        patterns=(*project.patterns, *(shape for shape in user.patterns if shape not in project.patterns)),
        allowlist=tuple(pattern for pattern in project.allowlist if pattern not in (*everything, *own)),
        ignored=tuple(ignored) if user.enabled else (),
        user_allowlist=own,
    )


def _merged(*lists: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for names in lists for one in names))


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= _SHOWN_CHARACTERS else pattern[:_SHOWN_CHARACTERS] + "…")


def _allows_everything(pattern: str) -> bool:
    if not pattern:
        return False
    try:
        expression = compile_pattern(pattern)
    except PatternProblem:
        return False  # the redactor reports it
    return all(expression.search(probe) for probe in _SAMPLE_SECRETS)
