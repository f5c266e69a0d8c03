"""From the model to the frozen plan: names resolved, words replaced by the values that engine and device use."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from estsim.device.policy import BootPolicy, DeferralPolicy, EnrollPolicy, Policy, RenewPolicy, RetryPolicy
from estsim.est.login import SCHEMES
from estsim.est.messages import BodyForm
from estsim.est.operations import Operation
from estsim.est.redirect import Redirects
from estsim.scenario.boot_model import arrivals_of, trace_of
from estsim.scenario.bootstrap_model import BootstrapKind, BootstrapModel, HttpAuthModel
from estsim.scenario.cohort_model import CohortModel, DeferralModel, EnrollModel, RenewModel, RetryModel, TlsModel
from estsim.scenario.event_model import phases_of
from estsim.scenario.model import AuthorityModel, GeneratorModel, ScenarioModel, TargetModel, TimeoutsModel
from estsim.scenario.nature_model import NetworkModel
from estsim.scenario.plan import (
    Authority,
    Bootstrap,
    Cohort,
    Demand,
    FileAuthority,
    Files,
    Generator,
    HttpAuth,
    Keys,
    MadeAuthority,
    Manufacturer,
    Network,
    NoBootstrap,
    Operational,
    Scenario,
    Shared,
    Target,
    Timeouts,
    Tls,
)
from estsim.scenario.resolved import resolved_text, sandbox_block, yaml_text
from estsim.scenario.subjects import compile_sans, compile_subject
from estsim.server.config import SandboxConfig

_RENEW: Final = RenewPolicy()


def plan_scenario(model: ScenarioModel, *, name: str, source: Path, data: dict[str, Any]) -> Scenario:
    """Return the plan of a scenario; ``data`` is the merged mapping that the model was read from."""
    folder = source.parent
    authorities = {name: _authority(name, part, folder) for name, part in model.authorities.items()}
    sandbox = None if model.target.url else sandbox_block(data, authorities, model.seed, folder)
    return Scenario(
        name=name,
        description=model.description,
        seed=model.seed,
        duration_s=model.duration,
        until_settled=model.until is not None,
        authorities=authorities,
        target=_target(model.target, folder),
        sandbox=None if sandbox is None else SandboxConfig.model_validate(sandbox),
        timeouts=_timeouts(model.target.timeouts),
        deferral_statuses=frozenset(model.target.deferral_statuses),
        redirects=Redirects(model.target.redirects),
        body_form=BodyForm(model.target.base64),
        generator=_generator(model.generator),
        cohorts=_cohorts(model, authorities, folder),
        thresholds=tuple(
            Demand(part.threshold, part.abort_on_fail, part.after, part.strict) for part in model.thresholds
        ),
        source=source,
        document=data,
        resolved=resolved_text(data, sandbox, name=name, seed=model.seed, folder=folder),
        sandbox_text="" if sandbox is None else yaml_text(sandbox),
        sandbox_label=None if sandbox is None else model.target.label,
        events=tuple(sorted((event.happening() for event in model.events), key=lambda event: event.at_s)),
        phases=phases_of(model.phases),
        expect=tuple(part.expectation(frozenset(model.cohorts)) for part in model.expect),
    )


def _cohorts(model: ScenarioModel, authorities: dict[str, Authority], folder: Path) -> tuple[Cohort, ...]:
    cohorts: list[Cohort] = []
    joining = {event.cohort_join.cohort for event in model.events if event.cohort_join is not None}
    first = 0
    for index, (name, part) in enumerate(model.cohorts.items()):
        cohort = _cohort(name, index, first, part, seed=model.seed, authorities=authorities, folder=folder)
        cohorts.append(replace(cohort, joins=name in joining))
        first += part.devices
    return tuple(cohorts)


def _cohort(
    name: str,
    index: int,
    first: int,
    part: CohortModel,
    *,
    seed: int,
    authorities: dict[str, Authority],
    folder: Path,
) -> Cohort:
    return Cohort(
        name=name,
        index=index,
        devices=part.devices,
        first_device=first,
        subject=None if part.has_own_subject else compile_subject(part.subject, cohort=name, seed=seed),
        sans=None if part.has_own_sans else compile_sans(part.sans, cohort=name, seed=seed),
        key=part.key,
        bootstrap=_bootstrap(part.bootstrap, authorities, folder),
        http_auth=_http_auth(part.http_auth or part.bootstrap.http_auth),
        tls=_tls(part.tls),
        arrivals=arrivals_of(part.boot, trace_of(part.boot, folder)),
        stations=part.boot.stations,
        keys=Keys(part.keys.prepare, part.keys.reuse),
        start=None if part.start is None else Operational(part.start.operational.age),
        network=None if part.network is None else _network(part.network),
        skew_s=None if part.clock is None else part.clock.skew,
        faults=part.faults.shares,
        policy=Policy(
            enroll=_enroll(part.enroll),
            renew=_renew(part.renew),
            deferral=_deferral(part.deferral),
            retry=_retry(part.retry),
            boot=BootPolicy(renew_if=part.on_boot.renew_if, cacerts=part.on_boot.cacerts),
        ),
    )


def _tls(part: TlsModel) -> Tls:
    oldest, newest = part.versions
    return Tls(oldest, newest, part.close, part.keep_alive, part.resume, part.send_chain)


def _network(part: NetworkModel) -> Network:
    return Network(rtt_s=part.rtt, rate_bps=part.rate, stall=part.stall, reset=part.reset)


def _enroll(part: EnrollModel) -> EnrollPolicy:
    return EnrollPolicy(
        operation=Operation(part.operation),
        cacerts=part.cacerts,
        csrattrs=part.csrattrs,
        pop=part.pop,
        deadline_s=part.deadline,
        then=part.then,
        names=part.names,
    )


def _renew(part: RenewModel | None) -> RenewPolicy | None:
    if part is None:
        return None
    return RenewPolicy(
        at=_RENEW.at if part.at is None else part.at,
        after_s=part.after,
        spread=part.spread,
        rekey=part.rekey,
        times=part.times,
        then=part.then,
        retry_every=part.retry_every,
        lifetime_scale=part.lifetime_scale,
        expired=part.expired,
    )


def _deferral(part: DeferralModel) -> DeferralPolicy:
    return DeferralPolicy(
        obedience=part.retry_after,
        spread=part.spread,
        when_missing_s=part.when_missing,
        max_polls=part.max_polls,
        max_wait_s=part.max_wait,
    )


def _retry(part: RetryModel) -> RetryPolicy:
    return RetryPolicy(
        on=part.on,
        backoff=part.backoff,
        base_s=part.base,
        cap_s=part.cap,
        jitter=part.jitter,
        attempts=part.attempts,
    )


def _bootstrap(part: BootstrapModel, authorities: dict[str, Authority], folder: Path) -> Bootstrap:
    if part.kind is BootstrapKind.SHARED:
        if part.path is not None:
            return Shared(folder / part.path)
        if part.cert is not None and part.key is not None:
            return Shared(folder / part.cert, key=folder / part.key)
        return Shared(None, None if part.authority is None else authorities[part.authority])
    if part.kind is BootstrapKind.FILES:
        return Files(folder / (part.path or ""))
    if part.kind is BootstrapKind.MANUFACTURER:
        return Manufacturer(None if part.authority is None else authorities[part.authority])
    return NoBootstrap()


def _http_auth(part: HttpAuthModel | None) -> HttpAuth | None:
    return None if part is None else HttpAuth(part.user, part.password, part.preemptive, _schemes(part.scheme))


def _authority(name: str, part: AuthorityModel, folder: Path) -> Authority:
    if part.cert is None or part.key is None:
        return MadeAuthority(name)
    return FileAuthority(name, folder / part.cert, folder / part.key)


def _target(part: TargetModel, folder: Path) -> Target | None:
    if part.url is None:
        return None
    ca = None if part.trust.ca is None else folder / part.trust.ca
    return Target(part.url.labelled(part.label), ca, part.authorised_by)


def _timeouts(part: TimeoutsModel) -> Timeouts:
    return Timeouts(connect_s=part.connect, handshake_s=part.handshake, answer_s=part.answer)


def _generator(part: GeneratorModel) -> Generator:
    return Generator(
        groups=part.groups,
        max_lag_s=part.max_lag,
        max_cpu=part.max_cpu,
        request_ids=part.request_ids,
        source_addresses=part.source_addresses,
        workers=part.workers,
    )


def _schemes(scheme: str) -> frozenset[str]:
    return frozenset(SCHEMES) if scheme == "auto" else frozenset({scheme})
