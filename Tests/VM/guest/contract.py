"""The keys of `probe --json`, in the order that scripts rely on."""

CONTRACT = {
    "path": None, "kind": None,
    "nvme": {
        "controller": ["name", "model", "serial", "firmware", "awun", "awupf", "acwu", "mdts", "vwc"],
        "namespace": ["nsid", "nsfeat", "flbas", "lba_size", "metadata_size", "nawun", "nawupf", "nacwu", "nabsn",
                      "nabo", "nabspf"],
        "write_atomicity_normal": ["dn"],
    },
    "device_limits": ["normal_bytes", "normal_boundary_bytes", "power_fail_bytes", "power_fail_boundary_bytes",
                      "boundary_offset_bytes", "normal_source", "power_fail_source", "max_transfer_bytes"],
    "queue": ["atomic_write_unit_min_bytes", "atomic_write_unit_max_bytes", "atomic_write_max_bytes",
              "atomic_write_boundary_bytes", "logical_block_size", "physical_block_size", "max_sectors_kb",
              "max_hw_sectors_kb"],
    "statx": ["atomic_write_unit_min", "atomic_write_unit_max", "atomic_write_unit_max_opt",
              "atomic_write_segments_max", "dio_mem_align", "dio_offset_align"],
    "filesystem": ["type", "block_size", "reflink", "exchange_range"],
    "stack": None,
    "paths": {
        "kernel": ["available", "min_bytes", "max_bytes", "hardware_max_bytes", "software_max_bytes",
                   "boundary_bytes", "backing", "reason"],
        "passthrough": ["available", "max_bytes", "granule_bytes", "boundary_bytes", "boundary_offset_bytes",
                        "reason"],
        "exchange": ["available", "reason"],
        "journal": ["available", "reason"],
    },
    "torn_free_bytes": None,
    "findings": None,
}
DOCUMENT = ["format", "tool_version", "kernel_release", "targets"]
STACK_ENTRY = ["id", "parents", "device", "kind", "start_bytes"]
FINDING = ["code", "severity", "layer", "message", "remedy"]


def breaches(document):
    """Keys that are missing or out of order, as paths. New keys are allowed, anywhere."""
    found = _compare(DOCUMENT, document, "")
    for target in document.get("targets", []):
        found += _compare(CONTRACT, target, "")
        for entry in target.get("stack") or []:
            found += _compare(STACK_ENTRY, entry, "stack.")
        for finding in target.get("findings") or []:
            found += _compare(FINDING, finding, "findings.")
    return found


def _compare(expected, actual, where):
    """An object of which nothing is known may be null as a whole."""
    if actual is None:
        return []
    keys = list(expected)
    present = [key for key in actual if key in keys]
    found = [f"{where}{key} is missing" for key in keys if key not in actual]
    if not found and present != keys:
        found.append(f"{where or 'target '}keys are out of order: {present}")
    if isinstance(expected, dict):
        for key, inner in expected.items():
            if inner and key in actual:
                found += _compare(inner, actual[key], f"{where}{key}.")
    return found
