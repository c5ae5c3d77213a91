"""What ``deps`` prints."""

from __future__ import annotations

import shlex

from torchml_installer.deps import Result
from torchml_installer.deps.needs import NEEDS
from torchml_installer.support.console import result as say


def show(result: Result) -> None:
    """Prints what was done, or with ``--dry-run`` the commands, and what comes next."""
    for step in result.steps:
        titles = ", ".join(NEEDS[name].title for name in step.needs)
        if result.dry_run:
            say(f"# {titles}, by {step.provider.name}:")
            for earlier, _title in step.before():
                say(shlex.join(earlier))
            say(shlex.join(step.command))
        else:
            say(f"Installed {titles} by {step.provider.name}")
    for outcome in result.outcomes:
        title = f"{outcome.name} {outcome.version}"
        if outcome.state == "planned":
            say(f"# {title}, to be installed in {outcome.root}:")
            for command in outcome.commands:
                say(shlex.join(command))
            say("# then, if all that succeeded, renamed into place")
        elif outcome.state == "present":
            say(f"{title} is there already: {outcome.root}")
        else:
            say(f"Installed {title} in {outcome.root}")
    if not result.steps and not result.outcomes:
        say("Nothing is missing.")
    if result.dry_run:
        return
    build = any(outcome.needs_build for outcome in result.outcomes)
    if result.for_driver:
        say("`torchml-install driver` builds the driver.")
    if result.environment:
        say(f"{'Build the driver for it, and have' if build else 'Have'} models use it:")
        for name, root in result.environment.items():
            say(f"  export {name}={shlex.quote(str(root))}")
    if build:
        say("  torchml-install driver")
    switches = [outcome.switch for outcome in result.outcomes if outcome.switch is not None]
    for variable, value in dict.fromkeys(switches):
        say(f"  export {variable}={value}")
