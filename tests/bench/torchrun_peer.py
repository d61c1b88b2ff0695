"""The torchrun script people write: initialise gloo, load the model, run one batch a rank, gather, rank 0 writes HDF5."""

import sys

import h5py
import torch
import torch.distributed as dist
from PIL import Image
from torchvision import transforms


def main(model_path, table):
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(1)
    model = torch.jit.load(model_path).eval()
    prepare = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()])
    with open(table) as file:
        paths = file.read().split()[rank::size]
    with torch.inference_mode():
        outputs = model(torch.stack([prepare(Image.open(path).convert("RGB")) for path in paths]))
    gathered = [torch.empty_like(outputs) for _ in range(size)] if rank == 0 else None
    dist.gather(outputs, gathered)
    if rank == 0:
        with h5py.File("/dev/shm/torchrun_peer.h5", "w") as file:
            file["logits"] = torch.cat(gathered).numpy()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
