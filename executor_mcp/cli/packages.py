"""`packages`: what programs may import, locked by an operator and never installed for an execution."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer
from pydantic import JsonValue

from executor_mcp.cli.running import CommandFailed, ExitCode, JsonOption, Output, run_command
from executor_mcp.packages.installing import Target, target_here
from executor_mcp.packages.keeping import Scanned
from executor_mcp.packages.locked import LockedPackage
from executor_mcp.packages.offering import version_of
from executor_mcp.packages.shelf import Shelf
from executor_mcp.sandbox.selection import choose_sandbox
from executor_mcp.settings import Settings
from executor_mcp.wiring import open_package_keeper, package_offer, sandbox_settings
from hitl_contract.action_code import Language

packages = typer.Typer(no_args_is_help=True, help="Packages that programs may use.")

_MIB = 1024 * 1024
PythonOption = Annotated[
    str | None,
    typer.Option("--python", metavar="3.11", help="The sandbox's Python; it is asked when left out."),
]
NodejsOption = Annotated[
    str | None,
    typer.Option(
        "--nodejs",
        metavar="18.20.4",
        help="The sandbox's Node.js; it is asked when left out. Of 18 alone nobody can tell what it is too "
        "old for.",
    ),
]
LanguageOption = Annotated[
    Literal["python", "nodejs"], typer.Option("--language", help="Whose programs it is for.")
]
_NAMES: Final = {Language.PYTHON: "Python", Language.NODEJS: "Node.js"}


@packages.command("add")
def add(
    requirement: Annotated[
        str, typer.Argument(help="One exact version, such as requests==2.32.3 or lodash@4.17.21")
    ],
    language: LanguageOption = "python",
    accept: Annotated[
        list[str] | None, typer.Option(help="A known vulnerability that is accepted; may be repeated.")
    ] = None,
    python: PythonOption = None,
    nodejs: NodejsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Resolve, lock with hashes, check and keep a package with everything it needs.

    Its name and version have to be on the list in the settings (packages.python or packages.nodejs).
    """

    async def operation(settings: Settings, output: Output) -> None:
        wanted = Language(language)
        target = await _target(settings, wanted, nodejs if wanted is Language.NODEJS else python)
        async with open_package_keeper(settings) as keeper:
            package = await keeper.add(requirement, target, accepted=frozenset(accept or ()))
        contents = ", ".join(str(one) for one in package.distributions)
        output.result(
            _document(package, None),
            f"[bold]{package}[/] is locked for {_interpreter(package)}: {contents}",
            f"layer {package.layer}, {package.size_bytes / _MIB:.1f} MiB",
        )

    run_command(operation, json_output=json_output)


@packages.command("list")
def list_packages(json_output: JsonOption = False) -> None:
    """List locked packages, and whether programs may have them now."""

    async def operation(settings: Settings, output: Output) -> None:
        offer = package_offer(settings)
        found = [
            Scanned(package, offer.problem(package))
            for package in Shelf(settings.packages_directory).packages()
        ]
        _table(output, found)

    run_command(operation, json_output=json_output)


@packages.command("scan")
def scan(json_output: JsonOption = False) -> None:
    """Compare every file with its digest, and ask again which vulnerabilities are known.

    Exit 1 when there is something to do.
    """

    async def operation(settings: Settings, output: Output) -> None:
        async with open_package_keeper(settings) as keeper:
            found = await keeper.scan()
        _table(output, found)
        bad = [str(one.package) for one in found if one.problem is not None]
        if bad:
            raise CommandFailed(f"something is wrong with {', '.join(bad)}", exit_code=ExitCode.REFUSED)

    run_command(operation, json_output=json_output)


@packages.command("accept")
def accept_vulnerabilities(
    package: Annotated[str, typer.Argument(help="As packages list names it, such as requests==2.32.3")],
    identifiers: Annotated[list[str], typer.Argument(help="The vulnerabilities, by any of their names")],
    json_output: JsonOption = False,
) -> None:
    """Let programs have a package in spite of vulnerabilities that are known."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_package_keeper(settings) as keeper:
            changed = await keeper.accept(package, identifiers)
        names = ", ".join(changed[0].accepted)
        output.result(_document(changed[0], None), f"Accepted in [bold]{package}[/]: {names}")

    run_command(operation, json_output=json_output)


@packages.command("remove")
def remove(
    package: Annotated[str, typer.Argument(help="As packages list names it, such as requests==2.32.3")],
    json_output: JsonOption = False,
) -> None:
    """Take a locked package away."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_package_keeper(settings) as keeper:
            await keeper.remove(package)
        output.result({"package": package, "removed": True}, f"[bold]{package}[/] is removed.")

    run_command(operation, json_output=json_output)


async def _target(settings: Settings, language: Language, version: str | None) -> Target:
    if version is not None:
        return target_here(version, language)
    sandbox = await choose_sandbox(settings.sandbox, sandbox_settings(settings))
    try:
        version = version_of(await sandbox.describe(), language)
    finally:
        await sandbox.close()
    if version is None:
        raise CommandFailed(
            f"the sandbox has no {_NAMES[language]}; name one with --{language}",
            exit_code=ExitCode.ENVIRONMENT,
        )
    return target_here(version, language)


def _interpreter(package: LockedPackage) -> str:
    return f"{_NAMES[package.language]} {package.interpreter}"


def _table(output: Output, found: tuple[Scanned, ...] | list[Scanned]) -> None:
    document: list[JsonValue] = [_document(one.package, one.problem) for one in found]
    rows = [
        (
            str(one.package),
            _interpreter(one.package),
            f"{one.package.size_bytes / _MIB:.1f} MiB",
            one.package.report.checked_at.date().isoformat(),
            one.problem or "offered",
        )
        for one in found
    ]
    output.table(document, ("Package", "For", "Size", "Checked", "State"), rows)


def _document(package: LockedPackage, problem: str | None) -> JsonValue:
    contents: list[JsonValue] = [str(one) for one in package.distributions]
    return {
        "package": str(package),
        "language": package.language.value,
        "interpreter": package.interpreter,
        "platform": package.platform,
        "layer": package.layer,
        "size_bytes": package.size_bytes,
        "contents": contents,
        "accepted": [*package.accepted],
        "source": package.report.source,
        "checked_at": package.report.checked_at.isoformat(),
        "approved_in": None if package.approved is None else package.approved.request_id,
        "problem": problem,
    }
