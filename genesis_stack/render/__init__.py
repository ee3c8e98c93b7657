"""Stack -> RenderedFiles. Pure: the same stack, model files and layout always render the same bytes."""

from genesis_stack.render.files import INSTALLED, RenderedFile, ResolvedModel, Runtime, as_declared

__all__ = ["INSTALLED", "RenderedFile", "ResolvedModel", "Runtime", "as_declared"]
