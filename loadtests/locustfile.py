"""Load of a stack, for Locust: GENESIS_LOAD_STACK and GENESIS_LOAD_PROFILE say which.

    GENESIS_LOAD_PROFILE=steady locust -f loadtests/locustfile.py

`genesis-stack load` runs it and judges what it wrote to GENESIS_LOAD_RESULT.
"""

from genesis_stack.loadtest.caller import caller_class
from genesis_stack.loadtest.collector import Collector
from genesis_stack.loadtest.setting import setting_of_environment
from genesis_stack.loadtest.shape import shape_class

_setting = setting_of_environment()
_collector = Collector(_setting)
_collector.attach()
StackUser = caller_class(_setting, _collector.hear)
ProfileShape = shape_class(_setting)
