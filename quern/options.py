"""Options that several commands share, each defined once."""

from pathlib import Path
from typing import Annotated

import typer

Wallet = Annotated[
    str | None,
    typer.Option(
        "--wallet", "-w", envvar="QUERN_WALLET", help="Name of the wallet; may be left out if there is one."
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", envvar="QUERN_PASSWORD_FILE", help="File that holds the wallet's password."
    ),
]
Relayer = Annotated[
    str | None,
    typer.Option(
        "--relayer",
        envvar="QUERN_RELAYER",
        help="Wallet or keystore file that sends and pays the gas; the wallet only signs.",
    ),
]
RelayerPasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--relayer-password-file",
        envvar="QUERN_RELAYER_PASSWORD_FILE",
        help="File that holds the relayer's password; by default the wallet's.",
    ),
]
Deployment = Annotated[
    Path | None,
    typer.Option(
        "--deployment",
        envvar="QUERN_DEPLOYMENT",
        help="Deployment file of the market; by default that of the local devnet.",
    ),
]
Rpc = Annotated[
    str | None,
    typer.Option(
        "--rpc",
        envvar="QUERN_RPC",
        help="URL of an Ethereum node, or several by commas, asked in order; by default the deployment file's.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="QUERN_STORE", help="Content store, any fsspec URL; by default a folder in home."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for a program to read.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before signing.")]
