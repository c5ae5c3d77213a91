"""What ``deps`` prints."""

from __future__ import annotations

import shlex

from torchml_installer.deps import Result
from torchml_installer.deps.needs import NEEDS
from torchml_installer.support.console import command, comment
from torchml_installer.support.console import result as say


def show(result: Result) -> None:
    """Prints what was done, or with ``--dry-run`` the commands; then what to do next."""
    for step in result.steps:
        titles = ", ".join(NEEDS[name].title for name in step.needs)
        if result.dry_run:
            print(comment(f"{step.provider.name} installs {titles}:"))
            for earlier, _title in step.before():
                print(command(earlier))
            print(command(step.command))
        else:
            say(f"Installed {titles} with {step.provider.name}")
    for outcome in result.outcomes:
        title = f"{outcome.name} {outcome.version}"
        if outcome.state == "planned":
            print(comment(f"to install {title} in {outcome.root}:"))
            for words in outcome.commands:
                print(command(words))
            print(comment("after success, the result is renamed into place"))
        elif outcome.state == "present":
            say(f"Already installed: {title} in {outcome.root}")
        else:
            say(f"Installed {title} in {outcome.root}")
    if not result.steps and not result.outcomes:
        say("Nothing is missing.")
    if result.dry_run:
        return
    build = any(outcome.needs_build for outcome in result.outcomes)
    if result.for_driver:
        say("  next: build the driver with `torchml-install driver`")
    if result.environment:
        say("Build the driver for it and let models use it:" if build else "Let models use it:")
        for name, root in result.environment.items():
            say(f"  export {name}={shlex.quote(str(root))}")
    if build:
        say("  torchml-install driver")
    switches = [outcome.switch for outcome in result.outcomes if outcome.switch is not None]
    for variable, value in dict.fromkeys(switches):
        say(f"  export {variable}={value}")
