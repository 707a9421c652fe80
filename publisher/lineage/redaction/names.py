"""Decide from the name of a value how likely it is a secret: `DB_PASSWORD`, `apiKey`, `pad_token`, `monkey`.

A name is split into words at delimiters and changes of case. Its last word decides: a `password_policy` is a policy and
a `token_lr` is a rate. `values` then checks whether the value fits.
"""

import re
from enum import Enum
from functools import lru_cache

NAME_REACH = 128
"""Longer names (in characters) are ignored."""


class Secrecy(Enum):
    """How likely a value under a name is a secret.

    PASSWORD: a secret, unless it is a plain word, a short number or a switch; people choose passwords.
    SECRET: the same, but several plain words (`my-app-secret`) are a reference to a secret.
    TOKEN: a secret if it looks machine-generated.
    VAGUE: a secret only if it can hardly be anything else; digests and ids have such names, too.
    """

    NONE = "none"
    PASSWORD = "password"
    SECRET = "secret"
    TOKEN = "token"
    VAGUE = "vague"


_PASSWORD = frozenset(
    "password passwd pwd pw pass passphrase passcode"
    " storepass keypass srcstorepass deststorepass srckeypass destkeypass".split()
)
_SECRET = frozenset("secret clientsecret sharedsecret".split())
_TOKEN = frozenset(
    "token credential cred apikey secretkey accesskey authkey authtoken accesstoken apitoken jwt".split()
)
_RUN_TOGETHER = re.compile(r"(?:password|passwd|passphrase|secretkey|accesskey|apikey|authtoken|accesstoken)$")
_CAPITALS_RUN_TOGETHER = re.compile(r"(?:TOKEN|SECRET|PASS|PASSWD|PWD|PASSWORD|APIKEY)$")
_NOT_RUN_TOGETHER = frozenset({"COMPASS", "BYPASS", "ENCOMPASS", "SURPASS", "OLDPWD"})
_QUALIFIER = frozenset(
    "prod production staging stage dev development test testing live old new current backup primary secondary default"
    " main ro rw read write readonly base b64 base64 raw plain value str string env ci".split()
)
"""Words that may follow the deciding word: `DB_PASSWORD_PROD`, `SECRET_KEY_BASE`."""
_SECRET_KEY = frozenset(
    "access account admin anthropic api app application auth aws azure client cohere comet consumer datadog dd"
    " deploy encryption fernet function gcp gemini github gitlab google groq hf hmac huggingface integration jwt"
    " kaggle langchain langsmith licence license master mistral neptune newrelic openai pinecone private project"
    " registry replicate restricted runpod secret sendgrid sentry service session shared signing slack storage"
    " stripe subscription tenant twilio user wandb webhook".split()
)
"""`openai_key` is a credential; `sort_key` and `cache_key` are not."""
_VAGUE = frozenset("auth session sessionid jsessionid phpsessid fernet tok pat webhook".split())
_PAT = frozenset("github gitlab gh azure ado devops airtable databricks access".split())
"""`GITHUB_PAT` is a personal access token; a `pat` alone may be a pattern."""
_PUBLIC = frozenset("public pub primary foreign".split())
_SPECIAL_TOKEN = frozenset(
    "pad eos bos unk sep cls mask special image video audio start end stop begin boi eoi bot eot next".split()
)
"""`pad_token` belongs to a tokenizer."""
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_ALWAYS = frozenset({"ROAR_SESSION_ID", "AUTHORIZATION", "PROXY_AUTHORIZATION"})


@lru_cache(maxsize=8192)
def secrecy(name: str) -> Secrecy:
    """Return how likely a value under this name is a secret."""
    if len(name) > NAME_REACH:
        return Secrecy.NONE
    if name.upper().replace("-", "_") in _ALWAYS:
        return Secrecy.PASSWORD
    words = _WORDS.findall(name)
    while len(words) > 1 and (words[-1].isdigit() or words[-1].lower() in _QUALIFIER):
        words.pop()
    if not words:
        return Secrecy.NONE
    head = words[-1]
    before = [word.lower() for word in words[:-1]]
    if _PUBLIC.intersection(before):
        return Secrecy.NONE
    decided = _of_head(head, before)
    return _of_any(before) if decided is None else decided


def _of_head(head: str, before: list[str]) -> Secrecy | None:
    """Return what the deciding word says; None if it says nothing."""
    word = head.lower()
    word = word if word.endswith("ss") else word.removesuffix("s")
    if word in _PASSWORD:
        return Secrecy.PASSWORD
    if word in _SECRET:
        return Secrecy.SECRET
    if word in _TOKEN:
        return Secrecy.NONE if word == "token" and _SPECIAL_TOKEN.intersection(before[-1:]) else Secrecy.TOKEN
    if word == "key":
        return Secrecy.TOKEN if _SECRET_KEY.intersection(before[-1:]) else Secrecy.VAGUE
    if word in _VAGUE:
        return Secrecy.TOKEN if word == "pat" and _PAT.intersection(before[-1:]) else Secrecy.VAGUE
    together = _RUN_TOGETHER.search(word)
    if together is None and head.isupper() and head not in _NOT_RUN_TOGETHER:
        together = _CAPITALS_RUN_TOGETHER.search(head)
    if together is None:
        return None
    return Secrecy.PASSWORD if together[0].lower().startswith(("pass", "pwd")) else Secrecy.TOKEN


def _of_any(words: list[str]) -> Secrecy:
    """Return the secrecy if the secret word is not last: `TOKEN_my` may be a secret, `secret_name` is not."""
    known = _PASSWORD | _SECRET | _TOKEN
    return Secrecy.VAGUE if any(word in known for word in words) else Secrecy.NONE
