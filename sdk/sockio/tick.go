package sockio

import "time"

// UntilTick is the time to the first tick that is no less than least away. The ticks of a
// pace are the same for all who ask, so that the waits of many connections end
// together and wake the process once, not once for each.
func UntilTick(least, pace time.Duration) time.Duration {
	return untilTick(time.Now(), least, pace)
}

func untilTick(now time.Time, least, pace time.Duration) time.Duration {
	since := time.Duration(now.Add(least).UnixNano()) % pace // the tick before
	return least + (pace-since)%pace
}
