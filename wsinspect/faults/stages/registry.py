"""What each kind of fault does to the traffic of an open connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wsinspect.faults.kinds import FaultKind, connections, frames
from wsinspect.faults.stage import Stage
from wsinspect.faults.stages import breakpoints, endings, messages, scripted, timing

#: Kinds that act on handshakes, or earlier, have none.
STAGES: Final[Mapping[type[FaultKind], type[Stage[Any]]]] = {
    frames.Drop: messages.DropStage,
    frames.Latency: timing.LatencyStage,
    frames.Bandwidth: timing.BandwidthStage,
    frames.Loss: timing.LossStage,
    frames.Hold: timing.HoldStage,
    frames.Break: breakpoints.BreakStage,
    scripted.Scripted: scripted.ScriptStage,
    frames.Duplicate: messages.DuplicateStage,
    frames.Reorder: messages.ReorderStage,
    frames.Corrupt: messages.CorruptStage,
    frames.Truncate: messages.TruncateStage,
    frames.Replace: messages.ReplaceStage,
    frames.Inject: messages.InjectStage,
    frames.Fragment: messages.FragmentStage,
    frames.Slicer: timing.SlicerStage,
    connections.Close: endings.CloseStage,
    connections.Abort: endings.AbortStage,
    connections.Blackhole: timing.BlackholeStage,
    connections.IdleTimeout: endings.IdleTimeoutStage,
    connections.Lifetime: endings.LifetimeStage,
    connections.MaxMessageSize: endings.MaxMessageSizeStage,
    connections.LimitData: endings.LimitDataStage,
}
