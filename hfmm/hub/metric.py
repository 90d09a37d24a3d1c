"""A metric as a Space for `evaluate.load("owner/name")`: its module, the modules it imports, and a web page."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from huggingface_hub import SpaceCardData

from hfmm import registry
from hfmm.hub.files import RepoFiles, repo_file
from hfmm.hub.push import RepoTarget, with_manifest
from hfmm.hub.upload import RepoUpload

CARD = """---
{metadata}
---

# {title}

{text}

```python
import evaluate

metric = evaluate.load("{repo}")
print(metric.inputs_description)
```
"""

APP = """import evaluate
from evaluate.utils import launch_gradio_widget

launch_gradio_widget(evaluate.load("{repo}"))
"""


def metric_upload(name: str, target: RepoTarget) -> RepoUpload:
    """Return the upload of a metric as a Space; raises UserError if the metric does not exist."""
    module = registry.get("metrics", name)
    path = Path(str(module.__file__))
    siblings = _sibling_imports(path)
    texts = {f"{target.id.partition('/')[2]}.py": path.read_text(encoding="utf-8")}  # the name that evaluate loads
    texts |= {sibling.name: sibling.read_text(encoding="utf-8") for sibling in siblings}
    imported = {package for module_path in (path, *siblings) for package in _packages(module_path)}
    texts["requirements.txt"] = "\n".join(sorted({"evaluate", "datasets", *imported})) + "\n"
    texts["app.py"] = APP.format(repo=target.id)
    title = name.replace("_", " ")
    texts["README.md"] = CARD.format(
        metadata=SpaceCardData(
            title=title, sdk="gradio", app_file="app.py", license="apache-2.0", tags=["evaluate", "metric", "hfmm"]
        ).to_yaml(line_break="\n"),
        title=title,
        text=(module.__doc__ or "").strip(),
        repo=target.id,
    )
    files: RepoFiles = {file: repo_file(file, text.encode()) for file, text in texts.items()}
    return RepoUpload(target, with_manifest(files, {"metric": name}), f"The metric {name} of hfmm")


def _sibling_imports(path: Path) -> list[Path]:
    """Return the modules of the same folder that a module imports, directly or through each other."""
    siblings: dict[Path, None] = {}
    queue = [path]
    while queue:
        for node in ast.walk(ast.parse(queue.pop().read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
                sibling = path.with_name(f"{node.module}.py")
                if sibling not in siblings:
                    siblings[sibling] = None
                    queue.append(sibling)
    return list(siblings)


def _packages(path: Path) -> set[str]:
    """Return the packages that a module imports, without the standard library."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names
