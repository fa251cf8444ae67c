// SPDX-License-Identifier: Apache-2.0

package prometheus_test

// cases are, for each alert, series in promtool's notation that fire it, with the labels that it has then, and series that do not.
var cases = []struct{ alert, labels, bad, good string }{
	{
		"MacpoolPoolFillingUp", `pool="iot"`,
		`macpool_pool_addresses{pool="iot",state="available"} 20x100
macpool_pool_addresses{pool="iot",state="leased"} 80x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100
macpool_pool_addresses{pool="iot",state="available",instance="b"} 20x100
macpool_pool_addresses{pool="iot",state="leased",instance="b"} 80x100`,
		`macpool_pool_addresses{pool="iot",state="available"} 21x100
macpool_pool_addresses{pool="iot",state="leased"} 79x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100
macpool_pool_addresses{pool="iot",state="available",instance="b"} 21x100
macpool_pool_addresses{pool="iot",state="leased",instance="b"} 79x100`,
	},
	{
		"MacpoolPoolAlmostFull", `pool="iot"`,
		`macpool_pool_addresses{pool="iot",state="available"} 5x100
macpool_pool_addresses{pool="iot",state="leased"} 95x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100`,
		`macpool_pool_addresses{pool="iot",state="available"} 6x100
macpool_pool_addresses{pool="iot",state="leased"} 94x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100`,
	},
	{
		"MacpoolPoolExhausted", `pool="iot"`,
		`macpool_pool_addresses{pool="iot",state="available"} 0x100
macpool_pool_addresses{pool="iot",state="leased"} 95x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100`,
		`macpool_pool_addresses{pool="iot",state="available"} 1x100
macpool_pool_addresses{pool="iot",state="leased"} 99x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100`,
	},
	{
		"MacpoolPoolExhaustedSoon", `pool="iot"`,
		`macpool_pool_addresses{pool="iot",state="available"} 150-1x100
macpool_pool_addresses{pool="iot",state="leased"} 1000+1x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100`,
		`macpool_pool_addresses{pool="iot",state="available"} 100x100
macpool_pool_addresses{pool="iot",state="leased"} 200x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100`,
	},
	{
		"MacpoolPoolNotReady", `pool="iot"`,
		`macpool_pool_condition{pool="iot",type="Ready"} 0x100`,
		`macpool_pool_condition{pool="iot",type="Ready"} 1x100`,
	},
	{
		"MacpoolNetworksMisconfigured", `pool="iot"`,
		`macpool_pool_condition{pool="iot",type="NetworksMisconfigured"} 1x100`,
		`macpool_pool_condition{pool="iot",type="NetworksMisconfigured"} 0x100`,
	},
	{
		"MacpoolAddressConflict", `pool="iot"`,
		`macpool_pool_condition{pool="iot",type="AddressesInConflict"} 1x100`,
		`macpool_pool_condition{pool="iot",type="AddressesInConflict"} 0x100`,
	},
	{
		"MacpoolAllocationPaused", `pool="iot"`,
		`macpool_pool_condition{pool="iot",type="AllocationPaused"} 1x100`,
		`macpool_pool_condition{pool="iot",type="AllocationPaused"} 0x100`,
	},
	{
		"MacpoolReleasesPaused", `pool="iot"`,
		`macpool_pool_condition{pool="iot",type="ReleasesPaused"} 1x100`,
		`macpool_pool_condition{pool="iot",type="ReleasesPaused"} 0x100`,
	},
	{
		"MacpoolSuspectHolders", `pool="iot"`,
		`macpool_suspect_holders{pool="iot"} 1x100`,
		`macpool_suspect_holders{pool="iot"} 0x100`,
	},
	{
		"MacpoolReleasesStuck", `pool="iot"`,
		`macpool_cooling_overdue_seconds{pool="iot"} 0+60x100`,
		`macpool_cooling_overdue_seconds{pool="iot"} 290x100`,
	},
	{
		"MacpoolParentNotReady", `link="eth0.50",node="a",pool="iot",state="Down"`,
		`macpool_agent_parent{node="a",pool="iot",link="eth0.50",state="Down"} 1x100
macpool_agent_parent{node="a",pool="iot",link="eth0.50",state="Ready"} 0x100`,
		`macpool_agent_parent{node="a",pool="iot",link="eth0.50",state="Down"} 0x100
macpool_agent_parent{node="a",pool="iot",link="eth0.50",state="Ready"} 1x100`,
	},
	{
		"MacpoolAgentWithoutAPI", `node="a"`,
		`macpool_agent_api_contact{node="a"} 0x100`,
		`macpool_agent_api_contact{node="a"} 1x100`,
	},
	{
		"MacpoolClearsStuck", `node="a"`,
		`macpool_agent_pending_clear_age_seconds{node="a"} 0+60x100`,
		`macpool_agent_pending_clear_age_seconds{node="a"} 590x100`,
	},
	{
		"MacpoolSpoolStuck", `node="a"`,
		`macpool_agent_spool_age_seconds{node="a"} 0+60x100`,
		`macpool_agent_spool_age_seconds{node="a"} 290x100`,
	},
	{
		"MacpoolInterfacesLingering", `node="a"`,
		`macpool_agent_lingering{node="a"} 2x100`,
		`macpool_agent_lingering{node="a"} 0x100`,
	},
	{
		"MacpoolAddErrors", `node="a"`,
		`macpool_cni_requests_total{node="a",command="ADD",code="ok",pool="iot"} 0+9x100
macpool_cni_requests_total{node="a",command="ADD",code="MP301",pool="iot"} 0+2x100`,
		`macpool_cni_requests_total{node="a",command="ADD",code="ok",pool="iot"} 0+9x100
macpool_cni_requests_total{node="a",command="ADD",code="MP301",pool="iot"} 0+0.5x100`,
	},
	{
		"MacpoolAddSlow", `node="a"`,
		`macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="5"} 0+90x100
macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="10"} 0+100x100
macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="+Inf"} 0+100x100`,
		`macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="5"} 0+99.5x100
macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="10"} 0+100x100
macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="+Inf"} 0+100x100`,
	},
	{
		"MacpoolAgentDown", `component="agent",job="macpool",node="a"`,
		`up{job="macpool",component="agent",node="a"} 0x100`,
		`up{job="macpool",component="agent",node="a"} 1x100`,
	},
	{
		"MacpoolPolicyNotInForce", `policy="macpool-claim-in-use"`,
		`macpool_policy_in_force{policy="macpool-claim-in-use"} 0x100
macpool_policy_in_force{policy="macpool-claim-in-use",instance="b"} 1x100`,
		`macpool_policy_in_force{policy="macpool-claim-in-use"} 1 0x1 1x100
macpool_policy_in_force{policy="macpool-claim-in-use",instance="b"} 1x100`,
	},
	{
		"MacpoolUntrueHolds", `pool="iot"`,
		`macpool_untrue_holds{pool="iot"} 1x100`,
		`macpool_untrue_holds{pool="iot"} 0x100
macpool_lease_events_total{pool="iot",event="unheld",reason="PodElsewhere"} 3x100
macpool_lease_events_total{pool="iot",event="unheld",reason="AgentReport"} 0+1x100`,
	},
	{
		"MacpoolUntrueHolds", `pool="iot"`,
		`macpool_lease_events_total{pool="iot",event="unheld",reason="PodElsewhere"} _x95 1x5`,
		`macpool_lease_events_total{pool="iot",event="unheld",reason="PodUnknown"} 2x100`,
	},
	{
		"MacpoolManagerDown", ``,
		`up{job="macpool",component="manager",node="a"} 0x100
up{job="macpool",component="manager",node="b"} 0x100`,
		`up{job="macpool",component="manager",node="a"} 0x100
up{job="macpool",component="manager",node="b"} 1x100`,
	},
}

// healthy are series of a cluster in which all is well.
const healthy = `macpool_pool_condition{pool="iot",type="Ready"} 1x100
macpool_pool_condition{pool="iot",type="NetworksMisconfigured"} 0x100
macpool_pool_condition{pool="iot",type="AddressesInConflict"} 0x100
macpool_pool_condition{pool="iot",type="AllocationPaused"} 0x100
macpool_pool_condition{pool="iot",type="ReleasesPaused"} 0x100
macpool_suspect_holders{pool="iot"} 0x100
macpool_cooling_overdue_seconds{pool="iot"} 290x100
macpool_agent_parent{node="a",pool="iot",link="eth0.50",state="Down"} 0x100
macpool_agent_parent{node="a",pool="iot",link="eth0.50",state="Ready"} 1x100
macpool_agent_api_contact{node="a"} 1x100
macpool_agent_pending_clear_age_seconds{node="a"} 590x100
macpool_agent_spool_age_seconds{node="a"} 290x100
macpool_agent_lingering{node="a"} 0x100
macpool_cni_requests_total{node="a",command="ADD",code="ok",pool="iot"} 0+9x100
macpool_cni_requests_total{node="a",command="ADD",code="MP301",pool="iot"} 0+0.5x100
macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="5"} 0+99.5x100
macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="10"} 0+100x100
macpool_cni_duration_seconds_bucket{node="a",command="ADD",le="+Inf"} 0+100x100
up{job="macpool",component="agent",node="a"} 1x100
up{job="macpool",component="manager",node="a"} 0x100
up{job="macpool",component="manager",node="b"} 1x100
macpool_pool_addresses{pool="iot",state="available"} 100x100
macpool_pool_addresses{pool="iot",state="leased"} 100x100
macpool_pool_addresses{pool="iot",state="kept"} 50x100`
