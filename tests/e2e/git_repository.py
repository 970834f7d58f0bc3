"""git on a repository that tests and benchmarks make, without the configuration of whoever runs them."""
import os
import subprocess

ENVIRONMENT = {"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "test",
               "GIT_COMMITTER_EMAIL": "test@localhost", "GIT_CONFIG_GLOBAL": "/dev/null",
               "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def git(repository, *arguments, data=None):
    return subprocess.run(["git", "-c", f"safe.directory={repository}", "-c", "gc.auto=0", *arguments], cwd=repository,
                          capture_output=True, text=data is None or isinstance(data, str), input=data, env=ENVIRONMENT)


def fault(repository, *options):
    """What is broken, or an empty string. Options for `git fsck --full`."""
    checked = git(repository, "fsck", "--full", "--no-dangling", *options)
    if checked.returncode:
        return "fsck: " + " | ".join((checked.stderr + checked.stdout).splitlines()[:4])
    refs = git(repository, "for-each-ref", "--format=%(refname)").stdout.split()
    for ref in ["HEAD", *refs]:
        found = git(repository, "rev-parse", "--verify", "--quiet", ref + "^{commit}")
        if found.returncode:
            return f"{ref} leads to nothing"
    return ""
