"""The gateway: HAProxy in front of all models, rendered from the stack."""

from genesis_stack.render.gateway.files import config_path, gateway_file, gateway_program
from genesis_stack.render.gateway.unit import gateway_unit

__all__ = ["config_path", "gateway_file", "gateway_program", "gateway_unit"]
