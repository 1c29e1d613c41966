-- A site that gives every job a name of its own: what a client asked for is not what it finds.
local count = 0

function slurm_job_submit(job_desc, part_list, submit_uid)
  count = count + 1
  job_desc.name = "site-" .. count
  return slurm.SUCCESS
end

function slurm_job_modify(job_desc, job_rec, part_list, modify_uid)
  return slurm.SUCCESS
end

return slurm.SUCCESS
