"""Questions about icons, answered by a vision-language model and by a contrastive model.

    hfmm run clip_grammar && hfmm run llava_tutor
    python -m tests.benchmarks.contrastive_answers runs/llava-tutor runs/clip-grammar/model

The contrastive model selects the description of a cell that is nearest to the icon, out of 300. The tense, the person,
the verb and all other forms follow from the cell by grammar. Both models are scored on the icons of the test split of
the LLaVA run. Pages are left out, because the contrastive model was not trained on them.
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
    """Return the answer to a question of a kind that follows from a cell."""
    if kind == "conjugate":
        tenses: dict[str, Tense] = {name: tense for tense, name in TENSE_NAMES.items()} | {
            "present perfect": "participle"
        }
        tense = next(tense for name, tense in tenses.items() if name in question)
        form = surface_form(cell.lemma, tense, cell.person)
        return f"{surface_form('have', 'present', cell.person)} {form}" if tense == "participle" else form
    return {"tense": TENSE_NAMES[cell.tense], "person": PERSON_NAMES[cell.person], "lemma": cell.lemma}[kind]


def main() -> None:
    """Answer all questions about the icons of the test split, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of llava_tutor")
    parser.add_argument("contrastive", type=Path, help="the model folder of a run of clip_grammar")
    arguments = parser.parse_args()
    plan, run = open_run(arguments.run)
    rows = prepare_data(plan, run, lambda step, text: None)["test"]
    recorded = {row["id"]: row for row in read_predictions(run)}
    icons = [row for row in rows if row["picture"] == "icon"]
    model, processor = load_saved(str(arguments.contrastive))
    model.eval()
    embedder = Embedder(dual_encoder.FAMILY, model.config, processor)
    texts = embedder.embed_texts(model, [description(cell) for cell in CELLS])
    correct: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for start in range(0, len(icons), BATCH_SIZE):
        batch = icons[start : start + BATCH_SIZE]
        images = embedder.embed_images(model, [{"id": row["id"], "image": row["images"][0]} for row in batch])
        for row, nearest in zip(batch, (images @ texts.T).argmax(1), strict=True):
            questions = [message_text(message) for message in normalize_messages(row)[::2]]
            record = recorded[row["id"]]
            for kind, question, prediction, reference in zip(
                row["kinds"], questions, record["prediction"], record["reference"]["answers"], strict=True
            ):
                expected = normalize_answer(reference)
                contrastive_answer = normalize_answer(answer(CELLS[nearest], kind, question))
                correct[kind].append((normalize_answer(prediction) == expected, contrastive_answer == expected))
    print("| question about an icon | n | vision-language, % | contrastive, % |\n|---|---|---|---|")
    for kind, pairs in correct.items():
        vision_language, contrastive = 100 * np.mean(pairs, axis=0)
        print(f"| {kind} | {len(pairs)} | {vision_language:.1f} | {contrastive:.1f} |")


if __name__ == "__main__":
    main()
