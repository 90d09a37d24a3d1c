"""Resolve and load the model of a recipe as a run does."""

from __future__ import annotations

from typing import Any

from datasets import Features

from hfmm import models
from hfmm.evaluation.predict import SavedModel, load_saved_model
from hfmm.models import ResolvedModel
from hfmm.plan import Plan
from hfmm.recipe.schema import Recipe
from hfmm.run import open_run
from hfmm.run_directory import RunDirectory


def resolve_model(recipe: Recipe, auto_class: str) -> ResolvedModel:
    return models.resolve(recipe.model, recipe.key_locations, [auto_class])


def load_model(recipe: Recipe, features: Any, auto_class: str) -> tuple[Any, Any]:
    return resolve_model(recipe, auto_class).load(features)


def load_processor(recipe: Recipe, auto_class: str) -> tuple[Any, Any]:
    return resolve_model(recipe, auto_class).load_processor()


def load_original(recipe: Recipe, features: Features, auto_class: str) -> tuple[Any, Any]:
    return resolve_model(recipe, auto_class).load_original(features, recipe.seed)


def open_evaluated_run(folder: Any) -> tuple[Plan, RunDirectory, SavedModel]:
    plan, run = open_run(folder)
    return plan, run, load_saved_model(plan, run)
