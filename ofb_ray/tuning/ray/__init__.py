"""Ray and Ray Tune: joining a cluster, placing trials, running them in workers. The only folder that imports ray."""
