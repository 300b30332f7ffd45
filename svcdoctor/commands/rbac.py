"""`svcdoctor rbac`: the rights that a diagnosis takes."""

from __future__ import annotations

import click

from svcdoctor.commands import livenames


@click.command()
@click.option(
    "-n",
    "--namespace",
    metavar="NAMESPACE",
    shell_complete=livenames.namespaces,
    help="Rights for this namespace alone",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Rights for every namespace (default)")
@click.option("--no-probe", is_flag=True, help="Without the rights that lookups inside Pods need")
@click.option("--probe-image", is_flag=True, help="And what diagnose --probe-image needs")
@click.option("--probe-pod", is_flag=True, help="And what diagnose --probe-image IMAGE --probe-pod and cleanup need")
def rbac(namespace: str | None, all_namespaces: bool, no_probe: bool, probe_image: bool, probe_pod: bool) -> None:
    """Print the least rights that a diagnosis needs.

    YAML for kubectl apply: roles, and how to bind them.

    \b
    Examples:
      svcdoctor rbac -n shop | kubectl apply -f -
      svcdoctor rbac -A --no-probe
      svcdoctor rbac -n shop --probe-image
    """
    if namespace and all_namespaces:
        raise click.UsageError("--namespace and --all-namespaces exclude each other")
    if no_probe and (probe_image or probe_pod):
        raise click.UsageError(f"--probe-{'image' if probe_image else 'pod'} and --no-probe exclude each other")
    from svcdoctor.rbac import rights

    click.echo(rights(namespace, probe=not no_probe, containers=probe_image, pods=probe_pod), nl=False)
