"""Options that several commands of `tinycnn` share."""

import click

from tinycnn.devices import DEVICES


def device_option(command):
    option = click.option(
        "--device", type=click.Choice(list(DEVICES)), help="Who computes; TINYCNN_DEVICE, or cpu, if not given."
    )
    return option(command)


def data_option(command):
    text = "A folder of IDX files or mnist.npz, or 'synthetic'; TINYCNN_DATA, the cache or a download if not given."
    return click.option("--data", metavar="DIR", help=text)(command)


def json_option(command):
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def limit_option(command):
    text = "Use only the first N training and the first N validation images."
    return click.option("--limit", type=click.IntRange(min=1), metavar="N", help=text)(command)
