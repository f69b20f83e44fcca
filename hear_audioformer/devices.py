"""Names of devices."""

import torch


def device_of(name: str | None) -> str:
    """The device of a name, if it can be used; by default CUDA where there is one, else the CPU."""
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.device(name).type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return name
