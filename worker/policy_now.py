"""The policy of the moment: what settings and market allow, and what the engines are doing."""

from collections.abc import Mapping

from chain.deployment import Deployment
from worker.config import WorkerConfig
from worker.engines import EngineHost
from worker.models import ServedModel
from worker.policy import Policy, Rates
from worker.view import View


def policy_now(
    config: WorkerConfig,
    deployment: Deployment,
    models: Mapping[bytes, ServedModel],
    view: View,
    host: EngineHost,
    first_rates: Rates,
    *,
    draining: bool,
) -> Policy:
    """What a round decides by. `first_rates` hold until an engine has been given a batch; after that its own do."""
    engine = host.status()
    return Policy(
        models=frozenset(models),
        bond_unit_units=deployment.parameters.bond_unit_units,
        max_bond_units=config.price.max_bond_units,
        max_output_tokens=config.limits.max_output_tokens,
        units_per_engine_sec=config.price.units_per_engine_sec,
        low_output_share=config.price.low_output_share,
        gas_per_task=config.price.gas_per_task,
        base_fee_wei=view.base_fee_wei,
        lease_margin=config.limits.lease_margin,
        spare_secs=config.limits.spare_secs,
        batch_tasks=config.batches.tasks,
        batch_prompts=config.batches.prompts,
        batch_secs=config.batches.secs,
        fetch_ahead=config.batches.fetch_ahead,
        fetch_ahead_tokens=config.batches.fetch_ahead_tokens,
        attempts=config.engine.attempts,
        withdraw_above_units=config.price.withdraw_above_units,
        batch_tokens=min(map(host.kv_tokens, models.values())),
        output_share=engine.output_share,
        give_up_over=config.limits.give_up_over,
        draining=draining,
        currency=deployment.currency,
        rates=engine.rates if engine.rates != Rates() else first_rates,
    )
