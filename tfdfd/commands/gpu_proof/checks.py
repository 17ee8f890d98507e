"""The checks of `tfdfd doctor --gpu`, in their order."""

from __future__ import annotations

from tfdfd.commands.gpu_proof.context import ALL, Check

_LOGICAL = "logical CPUs in place of cards"

CHECKS: dict[str, Check] = {
    "libraries": Check(
        "driver, CUDA libraries, NVDEC's library and shared memory are as TensorFlow and DALI need them",
        "machine:libraries",
        120,
        "the same, where no card is not a fault",
        ALL,
    ),
    "arithmetic": Check(
        "products, float16 convolutions and XLA give NumPy's and the CPU's numbers on each card",
        "arithmetic:each_device",
        240,
        "on the CPU",
        ALL,
    ),
    "jpeg": Check(
        "DALI decodes stored faces as the tf.data twin does",
        "pictures:decoded_jpegs",
        120,
        "DALI's CPU graphs; nvJPEG needs a card",
    ),
    "alterations": Check(
        "DALI alters faces and masks as the twin does, in each way",
        "pictures:each_alteration",
        180,
        "DALI's CPU graphs",
    ),
    "nvdec": Check(
        "NVDEC's frames are PyAV's: H.264, HEVC, 1080p, rotated, full range, BT.709, clips of two sizes in turn",
        "video:beside_pyav",
        330,
        "PyAV in place of NVDEC",
    ),
    "many_clips": Check(
        "120 clips of 1080p in one process: memory stays bounded after the tenth",
        "video:many_clips",
        150,
        "20 clips by PyAV, and this process's memory",
    ),
    "no_nvcuvid": Check(
        "without libnvcuvid PyAV reads all clips, which is said once",
        "video:without_nvcuvid",
        120,
        "the same: without a card NVDEC fails too",
    ),
    "faces": Check(
        "MTCNN's boxes and the crops on a card are the CPU's",
        "faces:against_the_cpu",
        180,
        "the resizing of a card, on the CPU",
    ),
    "workers": Check(
        "the default workers are at least as fast with cards as without",
        "faces:default_workers",
        240,
        "CPU workers alone: there is nothing to compare them with",
        ALL,
    ),
    "rows": Check(
        "one DALI pipeline a replica: every face once an epoch, with its label, on its replica",
        "batches:exact_rows",
        240,
        _LOGICAL,
        ALL,
    ),
    "collectives": Check(
        "sums and gathered tensors of each type are right on all replicas",
        "collectives:reduce_and_gather",
        120,
        f"{_LOGICAL}; NCCL needs two cards",
        ALL,
    ),
    "steps": Check(
        "30 steps of mixed precision under XLA: the loss falls alike on one and on all, an overflow is skipped by all",
        "steps:compared_steps",
        300,
        _LOGICAL,
        ALL,
    ),
    "epochs": Check(
        "three epochs with new pipelines, validated, the best weights kept",
        "runs:three_epochs",
        240,
        _LOGICAL,
        ALL,
    ),
    "resume": Check(
        "a run that is killed goes on to the state of an undisturbed one",
        "runs:killed_and_resumed",
        300,
        _LOGICAL,
        ALL,
    ),
    "speed": Check(
        "Xception's steps a second, cards busy, input wait; memory flat over 60 steps",
        "runs:speed",
        420,
        "three steps of small faces on one CPU",
        ALL,
    ),
    "scores": Check(
        "an exported model scores alike on the CPU and on a card",
        "exports:scored_alike",
        240,
        "on the CPU both times, by oneDNN's kernels and by Eigen's",
    ),
    "too_large": Check(
        "a batch that no card holds is an error that names the batch size, not a hang",
        "runs:too_large_batch",
        240,
        "needs a card: on a CPU it is the system's memory that runs out, and other programs would end with it",
        ALL,
        needs_card=True,
    ),
    "tests": Check(
        "pytest -m gpu passes and skips none",
        "machine:tests_on_cards",
        300,
        "the tests are collected; to run they need a card",
        ALL,
    ),
}
