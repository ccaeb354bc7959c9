"""blktests' nvme/059 for several drives, its negative cases asserted and the data read back."""

from checks import check, verdict
from commands import disable_normal, identify_controller, identify_namespace, tool, xfs_io_statx
from direct_io import statx_atomic
import drives
import rules
from writes import check_limits, tool_refuses, tool_writes

NAMESPACES = [
    ("namespace's limit", "plain", 1), ("4 KiB blocks", "plain", 2), ("boundary", "plain", 3),
    ("controller's limit", "controller-wide", 1), ("fields without a value", "fields-without-value", 1),
    ("capped by MDTS", "capped", 1),
]


def kernel_uses_awupf():
    queue = drives.queue(drives.namespace_node("controller-wide"))
    return queue["atomic_write_unit_max_bytes"] > queue["logical_block_size"]


def test(name, serial, nsid):
    disk = drives.namespace_node(serial, nsid)
    node, queue = f"/dev/{disk}", drives.queue(disk)
    controller = identify_controller(f"/dev/{drives.controller_of(disk)}")
    namespace = identify_namespace(node)
    block = rules.lba_size(namespace)
    statx = statx_atomic(node)
    unit_min, unit_max = queue["atomic_write_unit_min_bytes"], queue["atomic_write_unit_max_bytes"]
    most, carried = queue["atomic_write_max_bytes"], queue["max_hw_sectors_kb"] * 1024
    verdict(f"{name} N1 limits are in order", carried >= most >= unit_max >= unit_min > 0, "in order",
            (carried, most, unit_max, unit_min))
    check(f"{name} N2 limit by Identify", min(kernel_limit(controller, namespace, block), carried), most)
    check(f"{name} N3 statx unit_max", unit_max, statx["atomic_write_unit_max"])
    check(f"{name} N4 statx unit_min", unit_min, statx["atomic_write_unit_min"])
    check(f"{name} N3 and N4 by xfs_io", (unit_min, unit_max, 1), tuple(xfs_io_statx(node).values()))
    check_limits(f"{name} N5 to N7", node, unit_min, unit_max, block)
    promise = rules.promise(controller, namespace, disable_normal(f"/dev/{drives.controller_of(disk)}"))
    check_tool(name, node, block, min(unit_max, promise.kept_whole_at_every_natural_place()))


def kernel_limit(controller, namespace, block):
    """`drivers/nvme/host/core.c:nvme_configure_atomic_write`."""
    if namespace["nsfeat"] & rules.NAMESPACE_FIELDS_VALID and namespace["nawupf"]:
        return (namespace["nawupf"] + 1) * block
    return (controller["awupf"] + 1) * block if kernel_uses_awupf() else block


def check_tool(name, node, block, most):
    answer = tool("probe", "--json", node).target
    check(f"{name} max_bytes", most, answer["paths"]["kernel"]["max_bytes"])
    [entry] = answer["namespaces"]
    check(f"{name} namespaces entry", (node, None, answer["nvme"], answer["device_limits"], answer["queue"]),
          tuple(entry[key] for key in ("device", "path", "nvme", "device_limits", "queue")))
    for size in (most, 2 * most):
        result = tool("probe", node, "--page-size", size, "--writer", "rwf-atomic")
        check(f"{name} answer for {size}", 0 if size == most else 1, result.code)
    tool_writes(f"{name} write the largest", node, most)
    tool_refuses(f"{name} write twice the largest", node, 2 * most)
    tool_refuses(f"{name} write a block more", node, most + block)
