"""What a drive promises, worked out anew from its raw values by the words of the specification."""

from dataclasses import dataclass

NAMESPACE_FIELDS_VALID = 1 << 1  # NSFEAT
MINIMUM_PAGE = 4096  # the unit of MDTS on the emulated drive


def floor_power_of_two(number):
    return 1 << (number.bit_length() - 1) if number else 0


def is_power_of_two(number):
    return number > 0 and number & (number - 1) == 0


@dataclass
class Promise:
    """Sizes in bytes. A boundary of 0 is none."""
    lba_size: int
    normal: int
    normal_source: str
    normal_boundary: int
    power_fail: int
    power_fail_source: str
    boundary: int
    boundary_offset: int
    max_transfer: object

    def kept_whole_at_every_natural_place(self, start=0):
        """The largest power of two whose naturally aligned blocks, counted from `start`, are all
        within the limit and inside one window."""
        size = floor_power_of_two(self.power_fail)
        while size > self.lba_size and self.boundary and not self._fits_windows(size, start):
            size //= 2
        return size

    def _fits_windows(self, size, start):
        return self.boundary % size == 0 and (start - self.boundary_offset) % size == 0

    def keeps_whole(self, offset, length):
        """One write at an absolute offset."""
        if length > self.power_fail:
            return False
        if not self.boundary:
            return True
        window = (offset - self.boundary_offset) // self.boundary
        return window == (offset + length - 1 - self.boundary_offset) // self.boundary


def lba_size(namespace):
    index = namespace["flbas"] & 0x0F | (namespace["flbas"] & 0x60) >> 1
    return 1 << namespace["lbafs"][index]["ds"]


def promise(controller, namespace, normal_disabled):
    block = lba_size(namespace)
    own_fields = bool(namespace["nsfeat"] & NAMESPACE_FIELDS_VALID)

    def limit(own, common):
        if own_fields and namespace[own]:
            return (namespace[own] + 1) * block, "namespace"
        return (controller[common] + 1) * block, "controller"

    def boundary(field):
        return (namespace[field] + 1) * block if namespace[field] else 0

    power_fail, power_fail_source = limit("nawupf", "awupf")
    normal, normal_source = (power_fail, power_fail_source) if normal_disabled else limit("nawun", "awun")
    return Promise(
        block, normal, normal_source, boundary("nabsn"), power_fail, power_fail_source, boundary("nabspf"),
        namespace["nabo"] * block, MINIMUM_PAGE << controller["mdts"] if controller["mdts"] else None)
