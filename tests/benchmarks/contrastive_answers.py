"""The questions about icons, answered by a model that speaks and by one that only compares pictures with texts.

    hfmm run clip_grammar && hfmm run llava_tutor
    python -m tests.benchmarks.contrastive_answers runs/llava-tutor runs/clip-grammar/model

The contrastive model answers by grammar: of the 300 descriptions of cells it takes the one nearest to the icon, and
tense, person, verb and every other form follow from that. Both are scored on the icons of the speaking run's test
split. The contrastive model was not trained on pages, so it is not asked about them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from hfmm.data.common.messages import message_text, normalize_messages
from hfmm.grammar import CELLS, Tense, VerbCell, surface_form
from hfmm.grammar.captions import TENSE_NAMES, description
from hfmm.grammar.questions import PERSON_NAMES
from hfmm.metrics._answers import normalize_answer
from hfmm.models import dual_encoder
from hfmm.models.common.checkpoint import load_saved
from hfmm.run import open_run, prepare_data
from hfmm.run_directory import read_predictions
from hfmm.tasks import BATCH_SIZE
from hfmm.tasks.common.embedder import Embedder


def answer(cell: VerbCell, kind: str, question: str) -> str:
    """Return what follows from a cell for a question of a kind."""
    if kind == "conjugate":
        names: dict[str, Tense] = {name: tense for tense, name in TENSE_NAMES.items()} | {
            "present perfect": "participle"
        }
        tense = next(tense for name, tense in names.items() if name in question)
        form = surface_form(cell.lemma, tense, cell.person)
        return f"{surface_form('have', 'present', cell.person)} {form}" if tense == "participle" else form
    return {"tense": TENSE_NAMES[cell.tense], "person": PERSON_NAMES[cell.person], "lemma": cell.lemma}[kind]


def main() -> None:
    """Answer all questions about the icons of the test split and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of llava_tutor")
    parser.add_argument("contrastive", type=Path, help="the model/ of a run of clip_grammar")
    arguments = parser.parse_args()
    recipe, run = open_run(arguments.run)
    rows = prepare_data(recipe, run, lambda step, text: None)["test"]
    recorded = {row["id"]: row for row in read_predictions(run)}
    icons = [row for row in rows if row["picture"] == "icon"]
    model, processor = load_saved(str(arguments.contrastive))
    model.eval()
    embedder = Embedder(dual_encoder.FAMILY, model.config, processor)
    texts = embedder.embed_texts(model, [description(cell) for cell in CELLS])
    right: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for start in range(0, len(icons), BATCH_SIZE):
        batch = icons[start : start + BATCH_SIZE]
        images = embedder.embed_images(model, [{"id": row["id"], "image": row["images"][0]} for row in batch])
        for row, nearest in zip(batch, (images @ texts.T).argmax(1), strict=True):
            asked = [message_text(message) for message in normalize_messages(row)[::2]]
            said = recorded[row["id"]]
            for kind, question, spoken, true in zip(
                row["kinds"], asked, said["prediction"], said["reference"]["answers"], strict=True
            ):
                compared = answer(CELLS[nearest], kind, question)
                right[kind].append(
                    (
                        normalize_answer(spoken) == normalize_answer(true),
                        normalize_answer(compared) == normalize_answer(true),
                    )
                )
    print("| question about an icon | n | speaking, % | contrastive, % |\n|---|---|---|---|")
    for kind, pairs in right.items():
        speaking, contrastive = 100 * np.mean(pairs, axis=0)
        print(f"| {kind} | {len(pairs)} | {speaking:.1f} | {contrastive:.1f} |")


if __name__ == "__main__":
    main()
