"""
What lm-evaluation-harness asks for hand-written items of its multiple-choice tasks: test/experiments/language-model/templates.json.

    python test/reference/multiple_choice_templates.py test/experiments/language-model/templates.json

Made with lm-eval 0.4.13 and datasets. Nothing is downloaded: each task gets the items below as its data.
"""
import json
import sys

import datasets
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

labelled = {"text": ["the sun", "a stone", "ice"], "label": ["A", "B", "C"]}
numbered = {"text": ["north", "south"], "label": ["1", "2"]}
ITEMS = {
    "boolq": ("boolq", [
        {"passage": "Ice is frozen water.", "question": "is ice made of water", "label": 1},
        {"passage": "A whale -- a mammal.\nIt swims.", "question": "is a whale a fish", "label": 0},
    ]),
    "piqa": ("piqa", [
        {"goal": "To cool a drink,", "sol1": "add ice.", "sol2": "add hot sand.", "label": 0},
        {"goal": "open a jar", "sol1": "Hit it", "sol2": "Turn the lid ", "label": 1},
    ]),
    "siqa": ("social_iqa", [
        {"context": "Kim fell on the ice.", "question": "What will Kim do next?", "answerA": "get up",
         "answerB": "fly", "answerC": "sing", "label": "1"},
        {"context": "Lee gave Jo a coat.", "question": "Why did Lee do this?", "answerA": "to sell it",
         "answerB": "Jo was hot", "answerC": "Jo was cold", "label": "3"},
    ]),
    "hellaswag": ("hellaswag", [
        {"activity_label": "Ice skating", "ctx_a": "A man stands on a rink.", "ctx_b": "he then", "label": "2",
         "endings": ["flies  away.", "eats [step] a shoe.", "skates in a circle.", "sleeps."]},
        {"activity_label": "Health", "ctx_a": "[header] How to rest [title] Lie down. [step] Close your Eyes.", "ctx_b": "",
         "label": "0", "endings": ["Breathe [substeps] slowly.", "Run.", "Shout [title] Loud.", "Jump."]},
        {"activity_label": "Cooking", "ctx_a": "Pour.", "ctx_b": "then Anna AND Bob", "label": "1",
         "endings": ["a", "stir it.", "c", "d"]},
    ]),
    "winogrande": ("winogrande", [
        {"sentence": "The ice melted near the fire because the _ was hot.", "option1": "ice", "option2": "fire", "answer": "2"},
        {"sentence": "Ann thanked Eva, so _ smiled.", "option1": "Eva", "option2": "Ann", "answer": "1"},
    ]),
    "openbookqa": ("openbookqa", [
        {"question_stem": "What melts ice?", "choices": labelled, "answerKey": "A"},
        {"question_stem": "Lakes freeze in the", "choices": numbered, "answerKey": " 2"},
    ]),
    "arc-easy": ("arc_easy", [
        {"question": "Which is cold?", "choices": labelled, "answerKey": "C"},
        {"question": "Where is the pole?", "choices": numbered, "answerKey": "1"},
    ]),
    "arc-challenge": ("arc_challenge", [
        {"question": "Which one heats the Earth?", "choices": labelled, "answerKey": "A"},
    ]),
}


def requests(task_name, items):
    data = datasets.Dataset.from_list(items)

    def download(task, *_, **__):
        task.dataset = datasets.DatasetDict({split: data for split in ("train", "validation", "test")})

    ConfigurableTask.download = download
    loaded = TaskManager().load_task_or_group([task_name])
    (task,) = [each for each in loaded.values() if isinstance(each, ConfigurableTask)]
    found = []
    for doc in task.validation_docs():
        context = task.fewshot_context(doc, 0)
        made = task.construct_requests(doc, context)
        gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
        found.append({"requests": [list(each.args) for each in made], "answer": int(gold)})
    return found


if __name__ == "__main__":
    result = {}
    for name, (task_name, items) in ITEMS.items():
        expected = requests(task_name, items)
        result[name] = [{"fields": fields, **each} for fields, each in zip(items, expected, strict=True)]
    with open(sys.argv[1], "w") as file:
        json.dump(result, file, indent=2, ensure_ascii=False)
        file.write("\n")
