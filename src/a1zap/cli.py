"""The command line: `a1zap --help` teaches it. Every option is an environment variable too (docs/settings.md)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import orjson
import uvloop

from a1zap.kit.errors import A1ZapError
from a1zap.kit.settings import Settings


def main() -> None:
    """The program. An error of ours is one sentence on stderr and exit code 1; a bug is a traceback."""
    try:
        cli(standalone_mode=True)
    except A1ZapError as error:
        click.echo(f"a1zap: {error}", err=True)
        sys.exit(1)


def _settings(**given: Any) -> Settings:
    """Settings from the environment, with what was typed on top."""
    typed = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**typed)
    except ValueError as error:
        raise click.ClickException(f"a setting is wrong: {error}") from None


_DATA_DIR = click.option(
    "--data-dir",
    envvar="A1ZAP_DATA_DIR",
    type=click.Path(path_type=Path),
    help="Folder of everything durable. [data]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="a1zap")
def cli() -> None:
    """a1zap: self-hosted, multi-agent messaging.

    \b
    Start here:   a1zap serve
    A second hand: a1zap worker            (any number, on any machine that reaches the database)
    A program's key: a1zap key create --email you@example.com --name "my program"
    A phone number: a1zap channel --help
    """


@cli.command()
@click.option("--host", envvar="A1ZAP_HOST", help="Address to listen on. [127.0.0.1]")
@click.option("--port", envvar="A1ZAP_PORT", type=int, help="Port to listen on. [8000]")
@click.option("--workers", envvar="A1ZAP_WORKERS", type=int, help="Worker processes beside the server. [1]")
@_DATA_DIR
def serve(**given: Any) -> None:
    """Start PostgreSQL (unless DATABASE_URL is set), migrate, and serve API, web page and workers."""
    from a1zap.serving import serve as serve_all

    _run(lambda: serve_all(_settings(**given), say=click.echo))


@cli.command()
@_DATA_DIR
@click.option("--concurrency", envvar="A1ZAP_CONCURRENCY", type=int, help="Chats worked on at once. [32]")
@click.option("--parent", type=int, hidden=True, help="Stop when this process is no longer our parent.")
def worker(parent: int | None, **given: Any) -> None:
    """Be one more worker. Start any number, on this machine or on others that reach the database."""
    from a1zap.serving import work

    _run(lambda: work(_settings(**given), parent=parent))


@cli.command()
@_DATA_DIR
def migrate(**given: Any) -> None:
    """Bring the database to this version. Safe to run at any time, by several programs at once."""
    from a1zap.serving import migrate_place

    applied = _run(lambda: migrate_place(_settings(**given), say=click.echo))
    click.echo(f"migrated: {', '.join(applied)}" if applied else "the database is up to date")


@cli.command()
@_DATA_DIR
@click.argument("psql_arguments", nargs=-1, type=click.UNPROCESSED)
def sql(psql_arguments: tuple[str, ...], **given: Any) -> None:
    """Open psql on the database, as its administrator. Arguments go to psql: a1zap sql -- -c "select 1"."""
    from a1zap.serving import opened_place

    settings = _settings(**given)

    async def open_psql() -> int:
        async with opened_place(settings) as place:
            psql = str(place.bin_dir / "psql") if place.bin_dir else "psql"
            return await asyncio.to_thread(subprocess.call, [psql, place.admin_url, *psql_arguments])

    sys.exit(_run(open_psql))


@cli.group()
def owner() -> None:
    """Owners: the people whose agents these are."""


@owner.command("create")
@click.option("--email", required=True, envvar="A1ZAP_EMAIL", help="What the owner signs in with.")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input. Without it: asked for."
)
@click.option("--plan", envvar="A1ZAP_PLAN", help="free, pro or enterprise. [enterprise]")
@_DATA_DIR
def owner_create(email: str, password_stdin: bool, **given: Any) -> None:
    """Make an owner; prints its id."""
    from a1zap.serving import create_local_owner

    password = (
        sys.stdin.readline().rstrip("\r\n") if password_stdin else click.prompt("Password", hide_input=True)
    )
    click.echo(_run(lambda: create_local_owner(_settings(**given), email, password)))


@owner.command("link")
@click.option("--email", required=True, envvar="A1ZAP_EMAIL", help="Whose link.")
@_DATA_DIR
def owner_link(email: str, **given: Any) -> None:
    """Print a one-time sign-in link, good for an hour: the way back in when a password is forgotten."""
    from a1zap.serving import create_sign_in_link

    click.echo(_run(lambda: create_sign_in_link(_settings(**given), email)))


@cli.group()
def key() -> None:
    """API keys: what programs show instead of a password."""


@key.command("create")
@click.option("--email", required=True, envvar="A1ZAP_EMAIL", help="Whose key.")
@click.option("--name", required=True, help="What it is for; shown in lists.")
@click.option("--scope", "scopes", multiple=True, help="Narrow the key; may be given several times. [all]")
@_DATA_DIR
def key_create(email: str, name: str, scopes: tuple[str, ...], **given: Any) -> None:
    """Make an API key and print it, alone, on standard output. It is shown this once."""
    from a1zap.serving import create_key

    click.echo(_run(lambda: create_key(_settings(**given), email, name, scopes)))


@cli.group()
def email() -> None:
    """Mail: see what a1zap makes of a message."""


@email.command("extract-reply")
@click.option("--html", "is_html", is_flag=True, help="The mail is HTML.")
@click.option(
    "--jsonl", "is_jsonl", is_flag=True, help='Read lines of {"text": …}, print lines of {"reply": …}.'
)
def email_extract_reply(*, is_html: bool, is_jsonl: bool) -> None:
    """Print what the sender wrote, without quotes, headers and signatures; the mail's text is read from stdin.

    \b
    One mail:   a1zap email extract-reply < body.txt
    HTML:       a1zap email extract-reply --html < body.html
    Many:       a1zap email extract-reply --jsonl < mails.jsonl > replies.jsonl

    A line of --jsonl that cannot be read is named on stderr and has no line in the output; the others are
    answered, in order, and the exit code is 1.
    """
    from a1zap.channels.email.extract_replies import extract_lines, reply_of

    if not is_jsonl:
        click.echo(reply_of(sys.stdin.buffer.read().decode("utf-8", "replace"), is_html=is_html))
        return
    unread = 0
    for line, problem in extract_lines(sys.stdin.buffer, is_html=is_html):
        if problem:
            unread += 1
            click.echo(f"a1zap: {problem}", err=True)
        else:
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    sys.exit(1 if unread else 0)


_OWNER = click.option(
    "--email", required=True, envvar="A1ZAP_EMAIL", help="Whose agents: an owner's address."
)


@cli.group()
def channel() -> None:
    """Channels: the numbers, mailboxes and endpoints that agents are reached by.

    \b
    What there is:     a1zap channel kinds
    Connect a number:  a1zap channel connect a1base --agent front_desk --setting number=+14151234567 \\
                           --setting account_id=… --setting api_key=- --setting api_secret=-
    Prove it works:    a1zap channel test ID --to +61400123456
    See how it does:   a1zap channel list

    The owner is told with --email, or once for all with A1ZAP_EMAIL.
    """


@channel.command("kinds")
def channel_kinds_command() -> None:
    """List the kinds of channel, with the settings that each has."""
    from a1zap.channel_work import channel_kinds

    for kind, settings in channel_kinds():
        click.echo(f"{kind:12}{settings}")


@channel.command("list")
@_OWNER
@click.option("--agent", help="Only this agent's; its handle.")
@_DATA_DIR
def channel_list(email: str, agent: str | None, **given: Any) -> None:
    """List channels: id, agent, kind, identity, status, how it does since when, and why."""
    from a1zap.channel_work import list_channels

    rows = _run(lambda: list_channels(_settings(**given), email, agent))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@channel.command("connect")
@click.argument("kind")
@_OWNER
@click.option("--agent", required=True, help="The agent's handle.")
@click.option(
    "--setting",
    "typed",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the kind. NAME=- asks for it (or reads a line of stdin), NAME=env:VARIABLE takes it from there.",
)
@_DATA_DIR
def channel_connect(kind: str, email: str, agent: str, typed: tuple[str, ...], **given: Any) -> None:
    """Connect a channel of KIND to an agent; prints its id, alone on the first line.

    Secrets need not stand in the shell's history:

    \b
    asked for, unseen:    --setting api_secret=-
    a line of stdin:      pass show a1base | a1zap channel connect … --setting api_secret=-
    from a variable:      --setting api_secret=env:A1BASE_SECRET
    """
    from a1zap.channel_work import connect

    settings = dict(_typed_setting(one) for one in typed)
    for line in _run(lambda: connect(_settings(**given), email, agent, kind, settings)):
        click.echo(line)


@channel.command("test")
@click.argument("channel_id")
@_OWNER
@click.option(
    "--to", help="Really send a test message to this number or address. Without it: only ask the provider."
)
@click.option("--service", default="", help="Of kinds that carry several: whatsapp, sms, …")
@_DATA_DIR
def channel_test(channel_id: str, email: str, to: str | None, service: str, **given: Any) -> None:
    """Prove that a channel works; exit code 1 and the reason where it does not."""
    from a1zap.channel_work import test

    click.echo(_run(lambda: test(_settings(**given), email, channel_id, to, service)))


@channel.command("pause")
@click.argument("channel_id")
@_OWNER
@_DATA_DIR
def channel_pause(channel_id: str, email: str, **given: Any) -> None:
    """Pause a channel: what comes in is stored and not answered, what goes out waits."""
    from a1zap.channel_work import set_status

    click.echo(_run(lambda: set_status(_settings(**given), email, channel_id, "paused")))


@channel.command("resume")
@click.argument("channel_id")
@_OWNER
@_DATA_DIR
def channel_resume(channel_id: str, email: str, **given: Any) -> None:
    """Let a paused channel go on."""
    from a1zap.channel_work import set_status

    click.echo(_run(lambda: set_status(_settings(**given), email, channel_id, "active")))


@channel.command("remove")
@click.argument("channel_id")
@_OWNER
@click.confirmation_option(
    prompt="Its credentials are forgotten, and what waits to leave by it will not. Go on?"
)
@_DATA_DIR
def channel_remove(channel_id: str, email: str, **given: Any) -> None:
    """Disconnect a channel; its chats stay readable."""
    from a1zap.channel_work import remove

    click.echo(_run(lambda: remove(_settings(**given), email, channel_id)))


def _typed_setting(text: str) -> tuple[str, str]:
    """`name=value`, with the value from where it says that it is."""
    name, is_there, value = text.partition("=")
    if not is_there or not name:
        raise click.UsageError(f"--setting takes NAME=VALUE, and not '{name}'")
    if value == "-":
        is_asked = sys.stdin.isatty()
        value = click.prompt(name, hide_input=True) if is_asked else sys.stdin.readline().rstrip("\r\n")
    elif value.startswith("env:"):
        variable = value.removeprefix("env:")
        if variable not in os.environ:
            raise click.UsageError(f"--setting {name}: there is no variable '{variable}' in the environment")
        value = os.environ[variable]
    return name, value


@cli.command()
def openapi() -> None:
    """Print the API's description (OpenAPI) as JSON; needs no database."""
    from a1zap.serving import openapi_document

    sys.stdout.write(
        orjson.dumps(openapi_document(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"
    )


def _run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run to the end. Ctrl-C, SIGTERM or a closed terminal asks politely (the work is cancelled), each time."""

    async def until_told() -> Any:
        task = asyncio.ensure_future(work())
        loop = asyncio.get_running_loop()
        told = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup asks to outlive the terminal
            told.append(signal.SIGHUP)
        for number in told:
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return None

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return uvloop.run(until_told())


if __name__ == "__main__":
    main()
