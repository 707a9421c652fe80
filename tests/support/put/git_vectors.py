"""Ways in which a repository makes git run a program: each arms a repository, and knows what plain git does with it.

The program is a canary: it leaves a note that it ran. A vector whose control leaves no note would prove nothing.
"""

import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.lineage.captured import git

FILE = "data.txt"
CONTROL_SECONDS = 60.0


@dataclass(frozen=True)
class Place:
    """A repository with a remote in a folder beside it, and the canary program."""

    root: Path
    remote: Path
    program: Path
    note: Path

    def config(self, *settings: str, cwd: Path | None = None) -> None:
        """Set name, value, name, value, …"""
        for name, value in zip(settings[::2], settings[1::2], strict=True):
            git("config", name, value, cwd=cwd or self.root)

    def attributes(self, text: str) -> None:
        path = self.root / ".git" / "info" / "attributes"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def touch(self) -> None:
        """Make git read every file again."""
        for path in self.root.rglob("*.txt"):
            os.utime(path, (0, 0))

    def plain(self, *arguments: str, cwd: Path | None = None) -> None:
        """Run git as a user who trusts the repository."""
        self.run(["git", *arguments], cwd, {})

    def run(self, command: list[str], cwd: Path | None, environ: dict[str, str]) -> None:
        home = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.root.parent / "home")}
        subprocess.run(
            command,
            cwd=cwd or self.root,
            env=home | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CONTROL_SECONDS,
        )


@dataclass(frozen=True)
class Vector:
    """arm: configures the repository. control: makes plain git run the canary. environ: set in our process."""

    arm: Callable[[Place], None]
    control: Callable[[Place], None]
    environ: Callable[[Place], dict[str, str]] = lambda place: {}


def status(place: Place) -> None:
    place.plain("status", "--porcelain")


def push(place: Place) -> None:
    place.plain("push", "origin", "HEAD:refs/heads/other")


def ask_remote(place: Place) -> None:
    place.plain("ls-remote", "origin")


def configured(*settings: str, attributes: str = "") -> Callable[[Place], None]:
    """Arm by settings; PROGRAM and REMOTE in them are the canary and the remote's folder."""

    def arm(place: Place) -> None:
        known = [one.replace("PROGRAM", str(place.program)).replace("REMOTE", str(place.remote)) for one in settings]
        place.config(*known)
        if attributes:
            place.attributes(attributes)

    return arm


def hooks_in(folder: Callable[[Place], Path], *names: str) -> Callable[[Place], None]:
    def arm(place: Place) -> None:
        target = folder(place)
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(place.program, target / name)

    return arm


def own_hooks(place: Place) -> Path:
    return place.root / ".git" / "hooks"


def hooks_elsewhere(place: Place) -> None:
    hooks_in(lambda place: place.root / ".git" / "more", "reference-transaction", "pre-push")(place)
    place.config("core.hooksPath", str(place.root / ".git" / "more"))


def included(name: str) -> Callable[[Place], None]:
    def arm(place: Place) -> None:
        (place.root / ".git" / "more").write_text(f'[filter "evil"]\n\tclean = {place.program}\n')
        place.config(name, "more")
        place.attributes("* filter=evil\n")

    return arm


def filter_of_the_work_tree(place: Place) -> None:
    place.config("extensions.worktreeConfig", "true")
    git("config", "--worktree", "filter.evil.clean", str(place.program), cwd=place.root)
    place.attributes("* filter=evil\n")


def filter_in_a_submodule(place: Place) -> None:
    other = place.root.parent / "other"
    other.mkdir()
    (other / "inner.txt").write_text("inner")
    git("init", "--quiet", "--initial-branch=main", cwd=other)
    for repository in (other, place.root):
        if repository is place.root:
            add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "inner")
            git(*add, cwd=place.root)
        git("add", "-A", cwd=repository)
        git("commit", "--quiet", "-m", "more", cwd=repository)
    place.config("filter.evil.clean", str(place.program), cwd=place.root / "inner")
    info = place.root / ".git" / "modules" / "inner" / "info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text("* filter=evil\n")


def submodule_update(place: Place) -> None:
    filter_in_a_submodule(place)
    place.config("filter.evil.clean", "", cwd=place.root / "inner")
    place.config("submodule.inner.update", f"!{place.program}")
    git("-C", "inner", "commit", "--quiet", "--allow-empty", "-m", "more", cwd=place.root)


def lfs_extension(place: Place) -> None:
    """A program in place of git-lfs, which runs the extensions that a repository configures, as git-lfs does."""
    lfs = place.root.parent / "lfs"
    lfs.write_text("#!/bin/sh\n$(git config --get-regexp '^lfs[.]extension[.].*[.]clean$' | cut -d' ' -f2)\ncat\n")
    lfs.chmod(0o755)
    (place.root.parent / "home" / ".gitconfig").write_text(f'[filter "lfs"]\n\tclean = {lfs}\n\trequired = true\n')
    place.config("lfs.extension.evil.clean", str(place.program))
    place.attributes("* filter=lfs\n")


def lazy_fetch(place: Place) -> None:
    """Make a partial clone, which fetches what it lacks: here, the tree of its commit."""
    tree = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=place.root, capture_output=True, text=True).stdout
    (place.root / ".git" / "objects" / tree[:2] / tree.strip()[2:]).unlink()
    (place.root / ".git" / "index").unlink()
    place.config("core.repositoryformatversion", "1", "extensions.partialClone", "origin")
    place.config("remote.origin.promisor", "true", "protocol.file.allow", "always")
    place.config("remote.origin.uploadpack", str(place.program))


def alternate_refs(place: Place) -> None:
    """Configure hooks in the remote's folder, which came with the project."""
    (place.remote / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (place.remote / "objects" / "info" / "alternates").write_text(f"{place.root / '.git' / 'objects'}\n")
    place.config("core.alternateRefsCommand", f"{place.program};:", cwd=place.remote)


def embedded(place: Place) -> None:
    """Embed a bare repository in a clone: git uses it, with its configuration."""
    inner = place.root / "inner"
    inner.mkdir()
    git("init", "--quiet", "--bare", cwd=inner)
    place.config("core.bare", "false", "core.worktree", str(place.root), cwd=inner)
    place.config("core.fsmonitor", str(place.program), cwd=inner)


def hostile_repository(place: Place) -> dict[str, str]:
    return {"GIT_DIR": str(place.root / "inner"), "GIT_WORK_TREE": str(place.root)}


def newer_git(place: Place) -> dict[str, str]:
    """Return a PATH with a git that runs the hooks that a configuration names, as git does since 2.54."""
    git_now = shutil.which("git")
    newer = place.root.parent / "newer" / "git"
    newer.parent.mkdir(exist_ok=True)
    newer.write_text(
        "#!/bin/sh\n"
        'case " $* " in *" update-ref "*|*" status "*)\n'
        f"  {git_now} config --name-only --get-regexp '^hook[.].*[.]command$' | while read -r key; do\n"
        f'    [ "$({git_now} config --type=bool --get "${{key%.command}}.enabled")" = false ] ||'
        f' sh -c "$({git_now} config --get "$key")"\n'
        f'  done;;\nesac\nexec {git_now} "$@"\n'
    )
    newer.chmod(0o755)
    return {"PATH": f"{newer.parent}:/usr/local/bin:/usr/bin:/bin"}


def program_named_git(place: Place) -> None:
    shutil.copy(place.program, place.root / "git")


def on_a_terminal(place: Place) -> None:
    master, slave = pty.openpty()
    command = ["git", "--paginate", "log"]
    subprocess.run(command, cwd=place.root, stdout=slave, stderr=slave, stdin=slave, timeout=CONTROL_SECONDS)
    os.close(slave)
    os.close(master)


def fill_credential(place: Place) -> None:
    environ = {"PATH": os.environ["PATH"], "GIT_TERMINAL_PROMPT": "0", "HOME": str(place.root.parent / "home")}
    wanted = "protocol=https\nhost=example.org\n\n"
    subprocess.run(
        ["git", "credential", "fill"], cwd=place.root, env=environ, input=wanted, text=True, capture_output=True
    )


def changed(*command: str) -> Callable[[Place], None]:
    """Return a control that runs git with these arguments after a file was changed."""

    def control(place: Place) -> None:
        (place.root / FILE).write_text("changed")
        place.plain(*command)

    return control


SSH = ("remote.origin.url", "ssh://127.0.0.1:1/repo")
EXT = ("protocol.ext.allow", "always")
VECTORS = {
    "core.fsmonitor": Vector(configured("core.fsmonitor", "PROGRAM"), status),
    "a clean filter": Vector(configured("filter.evil.clean", "PROGRAM", attributes="* filter=evil\n"), status),
    "a required clean filter": Vector(
        configured(
            "filter.evil.clean", "PROGRAM", "filter.evil.required", "true", attributes="* filter=evil\n"
        ),
        status,
    ),
    "a filter whose name has an equals sign": Vector(
        configured("filter.a=b.clean", "PROGRAM", attributes="* filter=a=b\n"), status
    ),
    "a filter in capitals": Vector(configured("filter.EVIL.clean", "PROGRAM", attributes="* filter=EVIL\n"), status),
    "a process filter": Vector(configured("filter.evil.process", "PROGRAM", attributes="* filter=evil\n"), status),
    "a smudge filter": Vector(
        configured("filter.evil.smudge", "PROGRAM", attributes="* filter=evil\n"),
        lambda place: place.plain("checkout-index", "--force", "--all"),
    ),
    "include.path": Vector(included("include.path"), status),
    "includeIf": Vector(included("includeIf.onbranch:main.path"), status),
    "config.worktree": Vector(filter_of_the_work_tree, status),
    "a submodule's filter": Vector(filter_in_a_submodule, status),
    "submodule.update": Vector(submodule_update, lambda place: place.plain("submodule", "update")),
    "an extension of git-lfs": Vector(lfs_extension, status),
    "a reference-transaction hook": Vector(
        hooks_in(own_hooks, "reference-transaction"), lambda place: place.plain("update-ref", "refs/tags/x", "HEAD")
    ),
    "a pre-push hook": Vector(hooks_in(own_hooks, "pre-push"), push),
    "a post-index-change hook": Vector(hooks_in(own_hooks, "post-index-change"), status),
    "core.hooksPath": Vector(hooks_elsewhere, push),
    "hooks that the configuration names": Vector(
        configured(
            *("hook.evil.event", "reference-transaction", "hook.evil.command", "PROGRAM"),
            *("hook.reference-transaction.command", "PROGRAM", "hook.a=b.c.command", "PROGRAM"),
        ),
        lambda place: place.run(["git", "update-ref", "refs/tags/x", "HEAD"], None, newer_git(place)),
        newer_git,
    ),
    "gpg.program with tag.gpgSign": Vector(
        configured("tag.gpgSign", "true", "gpg.program", "PROGRAM", "user.name", "a", "user.email", "a@b"),
        lambda place: place.plain("tag", "-m", "x", "x"),
    ),
    "core.sshCommand": Vector(configured(*SSH, "core.sshCommand", "PROGRAM"), ask_remote),
    "credential.helper": Vector(configured("credential.helper", "PROGRAM"), fill_credential),
    "core.askPass": Vector(configured("core.askPass", "PROGRAM"), fill_credential),
    "core.gitProxy": Vector(
        configured("remote.origin.url", "git://127.0.0.1:1/repo", "core.gitProxy", "PROGRAM"), ask_remote
    ),
    "core.pager": Vector(configured("core.pager", "PROGRAM"), on_a_terminal),
    "an alias": Vector(configured("alias.st", "!PROGRAM"), lambda place: place.plain("st")),
    "diff.external": Vector(configured("diff.external", "PROGRAM"), changed("diff")),
    "textconv": Vector(configured("diff.evil.textconv", "PROGRAM", attributes="* diff=evil\n"), changed("diff")),
    "remote.receivepack": Vector(configured("remote.origin.receivepack", "PROGRAM"), push),
    "remote.uploadpack": Vector(configured("remote.origin.uploadpack", "PROGRAM"), ask_remote),
    "an ext:: address": Vector(configured("remote.origin.url", "ext::PROGRAM", *EXT), ask_remote),
    "an ext:: address for pushes": Vector(configured("remote.origin.pushurl", "ext::PROGRAM", *EXT), push),
    "insteadOf": Vector(configured("url.ext::PROGRAM.insteadOf", "REMOTE", *EXT), ask_remote),
    "pushInsteadOf": Vector(configured("url.ext::PROGRAM.pushInsteadOf", "REMOTE", *EXT), push),
    "an address that is an option": Vector(
        configured("remote.origin.url", "--receive-pack=PROGRAM"),
        lambda place: place.plain("push", f"--receive-pack={place.program}", str(place.remote), "HEAD:refs/heads/x"),
    ),
    "a partial clone": Vector(lazy_fetch, lambda place: place.plain("ls-tree", "HEAD")),
    "a hook of the remote's folder": Vector(
        hooks_in(lambda place: place.remote / "hooks", "pre-receive", "update", "post-receive", "post-update"), push
    ),
    "core.alternateRefsCommand": Vector(alternate_refs, push),
    "an embedded bare repository": Vector(
        embedded, lambda place: place.plain("status", cwd=place.root / "inner")
    ),
    "GIT_DIR": Vector(
        embedded, lambda place: place.run(["git", "status"], None, hostile_repository(place)), hostile_repository
    ),
    "a program named git": Vector(
        program_named_git,
        lambda place: place.run(["git", "status"], None, {"PATH": ".:/usr/bin:/bin"}),
        lambda place: {"PATH": f".::{os.environ['PATH']}"},
    ),
}  # fmt: skip
