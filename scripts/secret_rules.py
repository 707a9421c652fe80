"""Makes `publisher/lineage/redaction/secret_rules.json` from gitleaks' rules and our own.

    python scripts/secret_rules.py gitleaks.toml

gitleaks (MIT licence) maintains the shapes of credentials that have a recognisable form; its rules are written for RE2,
which runs in linear time, and so do we run them. Two kinds are left out: rules that look for a vendor's name near a
hash-like value, which hits digests and package lists (here the name of a value decides, see `names.py` beside that
file), and the few in `LEFT_OUT`. gitleaks wants a space or a quote after a token; ours may be followed by anything, so
that condition is dropped and the redactor extends each hit over what remains of the token.
"""

import json
import sys
import tomllib
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "publisher" / "lineage" / "redaction" / "secret_rules.json"
CONTEXT = r"[\w.-]{0,50}?"
"""How gitleaks begins a rule that needs the vendor's name nearby."""
LEFT_OUT = {
    "aws-amazon-bedrock-api-key-short-lived": "covers the fixed beginning only; OWN has the whole",
    "curl-auth-header": "scan.py reads headers of every program",
    "curl-auth-user": "scan.py reads -u of every program",
    "facebook-access-token": "digits and a bar in any text that mentions facebook",
    "freemius-secret-key": "PHP source",
    "kubernetes-secret-yaml": "scan.py reads names and values",
    "nuget-config-password": "scan.py reads names and values",
    "private-key": "scan.py also finds a key that is cut off",
    "microsoft-teams-webhook": "OWN keeps the host readable",
    "sidekiq-sensitive-url": "scan.py reads user and password of every URL",
    "slack-webhook-url": "OWN keeps the host readable",
    "sourcegraph-access-token": "matches every SHA-1; OWN has the tokens with a prefix",
    "vault-service-token": "matches 's.' and 24 letters; OWN has the tokens with a prefix",
}
ENDINGS = (
    r"""(?:[\x60'"\s;]|\\[nr]|$|\b)""",
    r"""(?:[\x60'"\s;]|\\[nr]|$)""",
    r"""(?:$|[\\'"\x60\s<),])""",
    r"(?:[^\w-]|\z)",
    r"(?:[^a-zA-Z0-9+/]|\z)",
    r"\b",
)

_TOKEN = r"[A-Za-z0-9_-]"
OWN = [
    # What roar-cli hides, and tokens whose published shape is looser than gitleaks' rule.
    (
        "aws-access-key",
        ["akia", "asia", "abia", "acca", "aroa", "aida"],
        r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}",
    ),
    ("bedrock-api-key", ["bedrock-api-key-"], r"bedrock-api-key-[A-Za-z0-9+/=]{20,}"),
    ("anthropic-key", ["sk-ant-"], rf"sk-ant-{_TOKEN}{{8,}}"),
    ("openai-key", ["sk-"], rf"\bsk-(?:proj-|svcacct-|admin-|None-|or-v1-|lf-){_TOKEN}{{16,}}"),
    ("openai-key", ["sk-"], r"\bsk-[A-Za-z0-9]{20,}"),
    ("github-token", ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"gh[pousr]_[A-Za-z0-9]{30,}"),
    ("github-fine-grained-pat", ["github_pat_"], r"github_pat_\w{36,}"),
    ("gitlab-token", ["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-"], r"gl(?:pat|dt|rt|cbt|ptt)-[\w.-]{20,}"),
    ("huggingface-token", ["hf_"], r"\bhf_[A-Za-z0-9]{20,}"),
    ("slack-token", ["xox"], r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}"),
    ("slack-browser-token", ["xoxc-", "xoxd-"], r"xox[cd]-[A-Za-z0-9%/+=-]{10,}"),
    ("tailscale-key", ["tskey-"], r"\btskey-(?:[a-z]+-)?[A-Za-z0-9]{6,}(?:-[A-Za-z0-9]+)?"),
    ("runpod-key", ["rpa_"], r"\brpa_[A-Z0-9]{30,}"),
    ("neptune-token", ["eyjhcglf"], r"\beyJhcGlf[A-Za-z0-9+/=_-]{40,}"),
    ("sourcegraph-token", ["sgp_"], r"\bsgp_(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}"),
    ("vault-token", ["hvs.", "hvb.", "hvr."], r"\bhv[sbr]\.[\w-]{24,}"),
    ("google-oauth-token", ["ya29."], r"\bya29\.[\w.-]{20,}"),
    ("google-api-key", ["aiza"], r"\bAIza[\w-]{30,}"),
    ("google-client-secret", ["gocspx-"], r"\bGOCSPX-[\w-]{20,}"),
    ("google-refresh-token", ["1//0"], r"\b1//0[\w-]{40,}"),
    ("wandb-key", ["wandb_v1_"], r"\bwandb_v1_\w{20,}"),
    ("groq-key", ["gsk_"], r"\bgsk_[A-Za-z0-9]{40,}"),
    ("xai-key", ["xai-"], r"\bxai-[A-Za-z0-9]{60,}"),
    ("replicate-token", ["r8_"], r"\br8_[A-Za-z0-9]{30,}"),
    ("nvidia-key", ["nvapi-"], r"\bnvapi-[\w-]{40,}"),
    ("langsmith-key", ["lsv2_"], r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"),
    ("langfuse-key", ["sk-lf-"], r"\bsk-lf-[a-f0-9-]{30,}"),
    ("pinecone-key", ["pcsk_"], r"\bpcsk_\w{40,}"),
    ("tavily-key", ["tvly-"], r"\btvly-[\w-]{20,}"),
    ("pypi-token", ["pypi-ag"], r"\bpypi-Ag[\w-]{50,}"),
    ("docker-token", ["dckr_"], r"\bdckr_(?:pat|oat)_[\w-]{20,}"),
    ("stripe-webhook-secret", ["whsec_"], r"\bwhsec_[A-Za-z0-9+/=]{20,}"),
    ("supabase-key", ["sb_secret_", "sbp_"], r"\b(?:sb_secret_[\w-]{20,}|sbp_[a-f0-9]{40})"),
    ("azure-devops-pat", ["azdo"], r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"),
    ("azure-storage-key", ["+ast", "acdb"], r"[A-Za-z0-9/+]{76}(?:\+ASt|ACDb)[A-Za-z0-9/+]{5,6}[AQgw]=="),
    ("sendgrid-token", ["sg."], r"\bSG\.[\w-]{20,24}\.[\w-]{39,50}"),
    ("telegram-bot-token", [":aa"], r"(\b\d{8,10}:AA[\w-]{33})"),
    ("jwt", ["eyj"], r"\beyJ[\w-]{8,}={0,2}\.[\w-]{8,}={0,2}(?:\.[\w-]*={0,2}){0,3}"),
    # An address that is the secret.
    (
        "slack-webhook",
        ["hooks.slack.com"],
        r"(?i:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/)([^\s'\"<>]+)",
    ),
    ("discord-webhook", ["/api/webhooks/"], r"(?i:discord(?:app)?\.com/api/(?:v\d+/)?webhooks/)([^\s'\"<>]+)"),
    (
        "teams-webhook",
        ["webhook.office.com", "outlook.office"],
        r"(?i:webhook\.office\.com/|outlook\.office(?:365)?\.com/webhook/)([^\s'\"<>]+)",
    ),
    ("zapier-webhook", ["hooks.zapier.com"], r"(?i:hooks\.zapier\.com/hooks/catch/)([^\s'\"<>]+)"),
    ("telegram-bot-url", ["api.telegram.org/bot"], r"(?i:api\.telegram\.org/bot)([^\s'\"<>/]+)"),
    (
        "ifttt-webhook",
        ["maker.ifttt.com"],
        r"(?i:maker\.ifttt\.com/trigger/[^/\s'\"]+/(?:json/)?with/key/)([^\s'\"<>]+)",
    ),
]
MARKS = {
    "aws": "AWS_KEY",
    "github": "GITHUB_TOKEN",
    "openai": "OPENAI_KEY",
    "anthropic": "ANTHROPIC_KEY",
    "huggingface": "HF_TOKEN",
    "gitlab": "GITLAB_TOKEN",
    "slack-": "SLACK_TOKEN",
}
"""The marks that roar-cli leaves, by how a rule's id begins; elsewhere `[REDACTED]`."""


def main(source: Path) -> None:
    """Write the table."""
    document = tomllib.loads(source.read_text(encoding="utf-8"))
    rules = [_rule(id, keywords, pattern) for id, keywords, pattern in OWN]
    for row in document["rules"]:
        pattern = row.get("regex", "")
        if pattern and CONTEXT not in pattern and row["id"] not in LEFT_OUT:
            rules.append(_rule(row["id"], row["keywords"], _open_ended(pattern)))
    table = {"origin": "https://github.com/gitleaks/gitleaks, 8.30.1", "licence": LICENCE, "rules": rules}
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"{len(rules)} rules, {len(OWN)} of them our own")  # noqa: T201


def _rule(id: str, keywords: list[str], pattern: str) -> dict[str, object]:
    mark = next((mark for start, mark in MARKS.items() if id.startswith(start) and "webhook" not in id), "")
    return {
        "id": id,
        "keywords": keywords,
        "pattern": pattern,
        "mark": f"[{mark}_REDACTED]" if mark else "[REDACTED]",
    }


def _open_ended(pattern: str) -> str:
    """The pattern without its condition on what follows."""
    for ending in ENDINGS:
        if pattern.endswith(ending):
            return pattern[: -len(ending)]
    return pattern


LICENCE = """MIT License. Copyright (c) 2019 Zachary Rice. Permission is hereby granted, free of charge, to any person \
obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without \
restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, \
and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the \
following conditions: The above copyright notice and this permission notice shall be included in all copies or \
substantial portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR \
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND \
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER \
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE \
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
