{#- Only warns, because the tap accepts a job whose pages are complete in themselves. -#}
{{ config(severity='warn') }}

with jobs as (

    select * from {{ ref('fullstory_imports__jobs') }}

)

select kind, job_id, reported, loaded, missing, failed, failed_loaded, failed_missing
from jobs
where is_finished
    and not is_accepted
    and (missing <> 0 or failed_missing <> 0)
