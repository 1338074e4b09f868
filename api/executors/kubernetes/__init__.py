"""Runs each attempt as a Kubernetes Job."""

from api.executors.kubernetes.executor import KubernetesExecutor

__all__ = ["KubernetesExecutor"]
