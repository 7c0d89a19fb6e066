{#- Rows that the tap has read are not in the tables. -#}
with jobs as (

    select * from {{ ref('fullstory_imports__jobs') }}

)

select kind, job_id, reported, loaded, gaps, failed, failed_loaded, failed_gaps
from jobs
where is_finished
    and not is_accepted
    and (gaps > 0 or failed_gaps > 0 or (loaded = 0 and reported > 0) or (failed_loaded = 0 and failed > 0))
