"""The commands, one function each, and the one place where errors meet the user.

What    `run_app()` parses the command line, runs a command, and exits with the code of its error.
Why     A newcomer finds every verb, its words and its help on one page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from skerry.base.errors import SkerryError
from skerry.cli import console

app = typer.Typer(
    name="skerry",
    help="Train models over many machines, with every step recomputable bit for bit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

key_app = typer.Typer(no_args_is_help=True, help="The key that a node is.")
app.add_typer(key_app, name="key")

JobPath = Annotated[Path, typer.Argument(help="A job file (TOML).", metavar="JOB.toml")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key: --set train.learning_rate=3e-4. Repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
RunPath = Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")]

Home = Annotated[Path, typer.Option("--home", envvar="SKERRY_HOME", help="The node's folder.")]
RpcUrl = Annotated[
    str, typer.Option("--rpc", help="URL of a chain's node; without, the one that the node uses.")
]


def run_app() -> None:
    """Run the command line and exit."""
    try:
        app()
    except SkerryError as error:
        sys.exit(console.refuse(error, as_json="--json" in sys.argv))


def _version(wanted: bool) -> None:
    if wanted:
        from skerry import __version__

        print(f"skerry {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train models over many machines, with every step recomputable bit for bit."""


@app.command()
def run(
    job: JobPath,
    changes: Changes = None,
    network: Annotated[
        str | None,
        typer.Option(help="Let nodes run it: the folder of a running network, or an invite."),
    ] = None,
    as_json: AsJson = False,
    plain: Annotated[bool, typer.Option("--plain", help="One line a round, no live view.")] = False,
) -> None:
    """Train a model; started again, go on from the last checkpoint.

    Example: skerry run jobs/digits.toml --set train.max_steps=200
    """
    from skerry.cli.running import run_command

    run_command(job, changes or [], network, as_json=as_json, plain=plain)


@app.command()
def plan(job: JobPath, changes: Changes = None, as_json: AsJson = False) -> None:
    """Say what a job would do here, what it costs, or why it cannot.

    Example: skerry plan jobs/digits.toml
    """
    from skerry.cli.planning import plan_command

    plan_command(job, changes or [], as_json=as_json)


@app.command()
def prepare(job: JobPath, changes: Changes = None, as_json: AsJson = False) -> None:
    """Clean, deduplicate, tokenise and pack a job's data.

    Example: skerry prepare jobs/kjv.toml
    """
    from skerry.cli.planning import prepare_command

    prepare_command(job, changes or [], as_json=as_json)


@app.command()
def verify(
    receipt: Annotated[Path, typer.Argument(help="A receipt in a run's folder.")],
    against: Annotated[
        str, typer.Option(help="HOST:PORT of a party that reveals its own run: walk to the lie.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Replay a unit of work and say equal, or what differs.

    Example: skerry verify runs/kjv/receipts/00000003-0001-step.receipt
    """
    from skerry.cli.verifying import verify_command

    verify_command(receipt, against, as_json=as_json)


@app.command()
def reveal(
    receipt: Annotated[Path, typer.Argument(help="A receipt in a run's folder.")],
    lie: Annotated[
        str,
        typer.Option(help="STEP:NODE:ELEMENT of one bit to flip, to see a dispute find it."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Answer for a receipt: serve the roots of one's own run until a dispute ends.

    Example: skerry reveal runs/kjv/receipts/00000003-0001-step.receipt --lie 7:420:13
    """
    from skerry.cli.verifying import reveal_command

    reveal_command(receipt, lie, as_json=as_json)


@app.command()
def dispute(
    receipt: Annotated[
        Path, typer.Argument(help="A receipt in a run's folder; with --unit that folder.")
    ],
    lie: Annotated[
        str, typer.Option(help="STEP:NODE:ELEMENT that the liar changes; without, one is drawn.")
    ] = "",
    unit: Annotated[
        str,
        typer.Option(help="KIND:ROUND of a unit of the coordinator: init, merge or evaluate."),
    ] = "",
    honest: Annotated[
        bool, typer.Option("--honest", help="The solver is honest, and the challenger lies.")
    ] = False,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="The solver publishes its roots: the doubt opens at the leaf."
        ),
    ] = False,
    rpc: Annotated[
        str, typer.Option(help="URL of a development node; without, a local chain is started.")
    ] = "",
    key: Annotated[
        Path | None,
        typer.Option(help="The challenger's sealed key file; without, a key is made for this."),
    ] = None,
    fee_max: Annotated[
        int, typer.Option(min=1, help="The most to pay for a unit of gas, in gwei.")
    ] = 500,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds until what is not mined gets a higher fee.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Take a receipt to court: two processes, a chain, and one element that is judged.

    Example: skerry dispute runs/kjv/receipts/00000003-0001-step.receipt
    """
    from skerry.cli.disputing import dispute_command, means_of

    if unit:
        from skerry.node.checking import receipt_of_duty

        receipt = receipt_of_duty(receipt, unit)
    means = means_of(key, fee_max, patience)
    dispute_command(receipt, lie, rpc, means, honest=honest, published=published, as_json=as_json)


@app.command()
def earnings(home: Home = Path("~/.skerry"), rpc: RpcUrl = "", as_json: AsJson = False) -> None:
    """Say what this node earned: each unit, its price, the verdict on it and why it was paid.

    Example: skerry earnings
    """
    from skerry.cli.billing import earnings_command

    earnings_command(home, rpc, as_json=as_json)


@app.command()
def invoice(
    job: Annotated[
        str, typer.Argument(help="The folder of a run, or the first letters of its name on chain.")
    ],
    home: Annotated[
        Path | None, typer.Option("--home", help="The folder of the node or client that asks.")
    ] = None,
    rpc: RpcUrl = "",
    as_json: AsJson = False,
) -> None:
    """Say what a job cost: each unit, its price, the verdict on it, and what was refunded.

    Example: skerry invoice runs/digits
    """
    from skerry.cli.billing import invoice_command

    invoice_command(job, home, rpc, as_json=as_json)


@app.command()
def ps(
    runs: Annotated[Path, typer.Argument(help="Where runs are kept.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List runs: what each is doing and how far it is.

    Example: skerry ps
    """
    from skerry.cli.listing import ps_command

    ps_command(runs, as_json=as_json)


@app.command()
def sample(
    run_folder: RunPath,
    prompt: Annotated[str, typer.Option(help="The text to go on from.")] = "\n",
    max_new_tokens: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest.")] = 0.8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Held-out rows to predict, for tables.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Write text with a trained language model, or predict held-out rows.

    Example: skerry sample runs/kjv --prompt "In the beginning"
    """
    from skerry.cli.sampling import sample_command

    sample_command(run_folder, prompt, max_new_tokens, temperature, seed, rows, as_json=as_json)


@app.command()
def join(
    invite: Annotated[str, typer.Argument(help="skerry1..., or nothing to begin a network.")] = "",
    home: Home = Path("~/.skerry"),
    role: Annotated[
        list[str] | None, typer.Option(help="solver, verifier or seed. Repeatable.")
    ] = None,
    listen: Annotated[
        list[str] | None, typer.Option(help="IP:PORT to listen on. Repeatable.")
    ] = None,
    chain: Annotated[str, typer.Option(help="URL of the chain's node.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Be a node of a network until Ctrl-C: lend this machine within its owner's limits.

    Example: skerry join skerry1... --role solver
    """
    from skerry.cli.joining import join_command

    join_command(invite, home, role or [], listen or [], chain, as_json=as_json)


@app.command()
def up(
    nodes: Annotated[int, typer.Option(min=0, max=64, help="Nodes besides the seed.")] = 4,
    folder: Annotated[Path, typer.Option(help="Where the network is kept.")] = Path("network"),
    chain: Annotated[
        bool, typer.Option("--chain/--no-chain", help="Start a local chain too.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Start a whole network on this machine: a chain, a seed and nodes, until Ctrl-C.

    Example: skerry up --nodes 4
    """
    from skerry.cli.starting import up_command

    up_command(nodes, folder, with_chain=chain, as_json=as_json)


@app.command()
def nodes(
    network: Annotated[
        str, typer.Argument(help="An invite, a folder of `skerry up`, or a node's folder.")
    ] = "",
    home: Home = Path("~/.skerry"),
    as_json: AsJson = False,
) -> None:
    """List who is there: what each node offers, and whether it answers.

    Example: skerry nodes network
    """
    from skerry.cli.seeing import nodes_command

    nodes_command(network or str(home), as_json=as_json)


@key_app.command("export")
def key_export(home: Home = Path("~/.skerry")) -> None:
    """Print the node's private key, to keep it elsewhere: whoever has it is the node.

    Example: skerry key export > node.backup
    """
    from skerry.cli.seeing import key_export_command

    key_export_command(home)


@key_app.command("import")
def key_import(
    file: Annotated[Path, typer.Argument(help="What `skerry key export` printed.")],
    home: Home = Path("~/.skerry"),
) -> None:
    """Make a node's folder from an exported key.

    Example: skerry key import node.backup --home nodes/two
    """
    from skerry.cli.seeing import key_import_command

    key_import_command(file, home)


@key_app.command("new")
def key_new(
    file: Annotated[Path, typer.Argument(help="Where to keep it; must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Make a key for a chain, sealed by a passphrase (asked, or SKERRY_PASSPHRASE).

    Example: skerry key new challenger.json
    """
    from skerry.cli.sealing import key_new_command

    key_new_command(file, as_json=as_json)


@key_app.command("show")
def key_show(home: Home = Path("~/.skerry"), as_json: AsJson = False) -> None:
    """Show the node's public key, which is its name in the network.

    Example: skerry key show
    """
    from skerry.cli.seeing import key_show_command

    key_show_command(home, as_json=as_json)


@app.command()
def doctor(
    bits: Annotated[bool, typer.Option("--bits", help="Run the golden vectors too.")] = False,
    network: Annotated[
        str, typer.Option(help="Look at the way into a network too: an invite or a folder.")
    ] = "",
    home: Home = Path("~/.skerry"),
    rpc: RpcUrl = "",
    as_json: AsJson = False,
) -> None:
    """Check this machine: versions, cores, memory, backends, bits, and the way into a network.

    Example: skerry doctor --bits
    """
    from skerry.cli.examining import doctor_command

    doctor_command(bits=bits, network=network, home=home, rpc=rpc, as_json=as_json)
