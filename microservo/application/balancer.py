"""How programs reach a load balancer."""

from microservo.adapters.balancer_api import TIMEOUT_S, BalancerApi

__all__ = ["TIMEOUT_S", "BalancerApi"]
