"""Asks OSV whether a package of this environment has a known vulnerability (pip-audit).

    python scripts/audit.py

Exit code 0: none is known, or OSV could not be asked, which stderr then says: a machine without internet must be able
to check its work.  1: a vulnerability is known, and not accepted in `[tool.audit]` of pyproject.toml.  2: pip-audit
itself failed. Changes nothing; may be repeated.

OSV, and not pip-audit's default of PyPI: with PyPI a package about which nothing could be learned counts as a good one.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
SERVICE = "https://api.osv.dev/v1/query"
REQUEST_SECONDS = 5
"""For one answer of the service; without internet the first request fails at once."""
AUDIT_SECONDS = 120
"""For the whole audit: about 130 packages, one request each."""
UNREACHABLE = ("requests.exceptions.", "pip_audit._service.interface.ServiceError", "VulnServiceConnectionError")
"""How pip-audit's stderr shows that the request failed, and not pip-audit."""
OFFLINE_TIP = "your network may be blocking this service"


class CouldNotAsk(Exception):
    """The service gave no answer that can be read."""


class AuditFailed(Exception):
    """pip-audit failed for another reason than its service."""


def accepted() -> dict[str, str]:
    """The vulnerabilities that do not fail the check, each with the reason why not."""
    settings = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["audit"]
    reasons: dict[str, str] = settings["accepted"]
    if unexplained := [name for name, reason in reasons.items() if not reason.strip()]:
        raise AuditFailed(f"[tool.audit] accepts {', '.join(unexplained)} without a reason")
    return reasons


def audit(service: str, path: str | None) -> list[dict[str, Any]]:
    """The packages with a known vulnerability, as pip-audit describes them. Raises CouldNotAsk and AuditFailed."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--osv-url", service]
    command += ["--format", "json", "--desc", "off", "--progress-spinner", "off", "--skip-editable"]
    command += ["--timeout", str(REQUEST_SECONDS)]
    command += [f"--path={path}"] if path else ["--local"]
    command += [f"--ignore-vuln={name}" for name in accepted()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CouldNotAsk(f"the audit took longer than {AUDIT_SECONDS} s") from None
    if not done.stdout.strip():
        why = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        unreachable = OFFLINE_TIP in done.stderr or any(name in done.stderr for name in UNREACHABLE)
        raise (CouldNotAsk if unreachable else AuditFailed)(why)
    packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return [package for package in packages if package.get("vulns")]


def _described(package: dict[str, Any]) -> list[str]:
    lines = []
    for flaw in package["vulns"]:
        names = ", ".join([flaw["id"], *flaw["aliases"]])
        fixed = ", ".join(flaw["fix_versions"]) or "no release"
        lines.append(f"{package['name']} {package['version']}: {names} (fixed in {fixed})")
    return lines


def outcome(service: str, path: str | None) -> tuple[int, list[str]]:
    """The exit code, and what to tell."""
    try:
        found = audit(service, path)
    except CouldNotAsk as error:
        return 0, [f"WARNING: NOT AUDITED. {service} could not be asked for known vulnerabilities:", f"  {error}"]
    except AuditFailed as error:
        return 2, [f"The audit of the installed packages failed: {error}"]
    return (1 if found else 0), [line for package in found for line in _described(package)]


def main() -> int:
    """Runs the audit; returns the exit code."""
    parser = argparse.ArgumentParser(description="Look for known vulnerabilities in this environment's packages.")
    parser.add_argument("--service", default=SERVICE, help="the address of OSV's query endpoint")
    parser.add_argument("--path", help="a folder of packages to audit instead of this environment")
    options = parser.parse_args()
    code, lines = outcome(options.service, options.path)
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return code


if __name__ == "__main__":
    sys.exit(main())
